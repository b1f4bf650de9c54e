"""A deterministic world that does its worst: the real use cases over simulated ports, one seed, one schedule.

world       scheduler, faults, instances and deliveries (every call to a port is a point to switch, fail or crash)
ports       the store, bus, channels, history and clock that an instance sees
scenario    what happens from outside: fills, prices, sweeps, the kill switch; broker carries out what is to be closed
control     small schedules of the trading state alone, with the adapter and the venue; control_truth checks them
adapter     a broker adapter with the real client, and venue, the broker behind it
focus       what a seed's schedule is about
invariants  what must hold after every commit, and when the world has come to rest
run         seeds in many processes; a failing one prints the line that replays it
"""
