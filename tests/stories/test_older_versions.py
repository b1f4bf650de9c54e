"""Stories that begin with a document as an older version wrote it."""

from __future__ import annotations

import json

from stopline.ports import Put

from .story import A, Story


def older(story: Story, collection: str, **fields: object) -> None:
    """Have a document be as an older version wrote it, and every function begin anew."""
    [stored] = story.world.shared.query(collection)
    state = {**json.loads(stored.data["state"]), **fields}
    state = {name: value for name, value in state.items() if value is not None}
    story.world.shared.commit([Put(stored.path, {**stored.data, "state": json.dumps(state)})])
    story.restart()


def test_a_halt_that_was_cancelled_by_a_version_that_noted_one_moment_for_all_halts_is_killed_and_closed() -> (
    None
):
    """F46: such a document was damaged, so that nothing was closed."""
    story = Story()
    story.hold(10)
    story.run(3)
    story.kill(close=False)
    story.run(90)
    older(story, "controls", cancelled_at=None, cancelled_since="2026-11-18T17:00:03Z")
    story.limit(A)
    story.run(20)
    assert story.kill()["status"] == 200
    story.run(5)
    assert story.left == {}


def test_a_refusal_that_a_version_noted_of_one_broker_is_no_damage() -> None:
    """F46: it was taken for damage, which people were told of."""
    story = Story()
    broker = story.brokers["paper"]
    broker.refuses_cancels, story.adapters["paper"].tidies = True, False
    story.hold(10)
    broker.place(40)
    story.run(3)
    story.kill(close=False)
    story.run(45)
    older(story, "cancels", refused={"account:demo": "paper"}, doubted=None)
    story.run(40)
    assert not [said for _, said in story.told("orders_working") if "cannot be read" in said]
