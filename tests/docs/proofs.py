"""Which tests prove which row of the catalogues of faults (F01 to F60) and of bad input (B01 to B77): file, then tests.

`test_catalogue` holds it against the tests as they are written; a whole run (`make test`) against those that have passed.
"""

PROOFS: dict[str, list[str]] = {
    "F01": [
        "unit/service/test_evaluated_limits.py::test_a_redelivered_batch_tells_nothing_twice",
        "unit/service/test_marks.py::test_the_same_batch_again_writes_nothing",
    ],
    "F02": [
        "unit/service/test_record_fill.py::test_a_stale_cache_of_another_instance_never_loses_a_fill",
        "unit/service/test_record_fill.py::test_one_message_that_two_instances_hold_at_once_is_booked_once",
    ],
    "F03": [
        "functions/test_push.py::test_a_redelivery_is_acknowledged_and_books_nothing",
        "unit/service/test_record_fill.py::test_a_fill_that_comes_again_changes_nothing",
    ],
    "F04": [
        "unit/service/test_record_fill.py::test_a_fill_that_comes_again_forty_days_later_is_still_a_duplicate",
    ],
    "F05": [
        "unit/ledger/test_book.py::test_any_order_of_arrival_gives_the_sorted_fold",
        "unit/ledger/test_position.py::test_the_order_in_which_fills_are_handed_over_changes_nothing",
    ],
    "F06": [
        "unit/emulators/test_paper_broker.py::test_a_command_that_comes_again_is_not_executed_again",
        "simulation/test_simulation.py::test_no_schedule_breaks_an_invariant",
    ],
    "F07": [
        "simulation/test_every_step.py::test_the_end_state_is_right_whatever_step_breaks",
        "unit/service/test_record_fill.py::test_whatever_fails_every_fill_is_booked_once_and_every_effect_published",
    ],
    "F08": [
        "unit/service/test_record_fill.py::test_a_failed_publish_is_not_acknowledged_and_the_next_delivery_publishes",
        "unit/service/test_aggregate.py::test_a_change_with_nothing_to_do_still_publishes_what_is_due",
        "unit/service/test_journal.py::test_a_row_that_comes_again_is_chained_once",
    ],
    "F09": [
        "unit/service/test_run_sweep.py::test_an_outbox_older_than_thirty_seconds_is_published_and_emptied",
        "unit/service/test_aggregate.py::test_unpublished_effects_keep_the_time_of_the_oldest",
        "unit/service/test_record_fill.py::test_effects_that_were_never_published_stay_due_through_later_commits",
    ],
    "F10": [
        "unit/service/test_record_fill.py::test_an_effect_that_may_have_been_published_is_published_again_under_the_same_id",
        "unit/service/test_outbox.py::test_what_is_not_proven_stays_due",
    ],
    "F11": [
        "unit/service/test_record_fill.py::test_a_commit_of_unknown_outcome_is_resolved_by_the_replay",
        "unit/service/test_aggregate.py::test_an_unknown_outcome_is_not_tried_again_and_the_cache_is_dropped",
        "unit/service/test_evaluate.py::test_a_breach_survives_a_commit_of_unknown_outcome",
    ],
    "F12": [
        "unit/service/test_record_fill.py::test_a_commit_of_unknown_outcome_is_resolved_by_the_replay",
        "unit/service/test_aggregate.py::test_an_unknown_outcome_is_not_tried_again_and_the_cache_is_dropped",
        "unit/service/test_evaluate.py::test_a_breach_survives_a_commit_of_unknown_outcome",
        "contract/test_firestore.py::test_every_other_failure_of_a_commit_is_unknown_and_keeps_its_cause",
    ],
    "F13": [
        "functions/test_api.py::test_with_the_store_down_nothing_is_made_up",
        "functions/test_push.py::test_an_outage_is_not_acknowledged_and_quarantines_nothing",
        "unit/service/test_history_verify.py::test_with_the_store_down_the_round_fails_and_nothing_is_told_or_taken_as_compared",
    ],
    "F14": [
        "unit/service/test_record_fill.py::test_a_stale_cache_of_another_instance_never_loses_a_fill",
        "unit/service/test_aggregate.py::test_a_conflict_is_decided_again_on_what_stands",
        "unit/service/test_aggregate.py::test_tries_are_bounded_and_then_it_is_contended",
    ],
    "F15": [
        "simulation/test_every_step.py::test_the_end_state_is_right_whatever_step_breaks",
    ],
    "F16": [
        "unit/service/test_price_batch_killed.py::test_a_kill_at_each_commit_of_500_prices_leaves_what_an_undisturbed_run_gives",
        "simulation/test_every_step.py::test_the_end_state_is_right_whatever_step_breaks",
    ],
    "F17": [
        "unit/service/test_failed_publish.py::test_an_outbox_that_waits_is_told_outside_after_a_minute_and_to_people_after_four",
        "contract/test_pubsub.py::test_a_topic_that_is_gone_forbidden_over_its_quota_or_hangs_is_unavailable_in_time",
        "functions/test_push.py::test_a_failed_publish_is_not_acknowledged",
        "unit/service/test_aggregate.py::test_a_failed_publish_leaves_the_state_committed",
    ],
    "F18": [
        "contract/test_bus.py::test_a_failure_pauses_no_key",
        "contract/test_pubsub.py::test_a_key_that_fails_holds_up_no_other_key_and_no_later_call",
        "unit/service/test_outbox.py::test_only_commands_are_ordered_and_each_message_says_what_it_is",
    ],
    "F19": [
        "contract/test_pubsub.py::test_an_outage_is_unavailable_in_time",
        "infra/test_publishing.py::test_no_product_code_publishes_but_through_the_adapter_that_waits",
    ],
    "F20": [
        "contract/test_outcomes.py::test_each_cell_of_the_table_is_so",
        "unit/service/test_alert_times.py::test_the_waits_fit_into_each_other_on_every_channel",
        "contract/test_channels.py::test_twilios_answers_are_sorted_into_later_and_never",
    ],
    "F21": [
        "contract/test_outcomes.py::test_each_cell_of_the_table_is_so",
        "unit/service/test_dispatch_alert.py::test_an_hour_of_waiting_is_a_dead_channel",
        "unit/service/test_shared_webhook.py::test_many_accounts_of_one_webhook_lose_nothing",
    ],
    "F22": [
        "simulation/test_alert_outage.py::test_after_half_an_hour_without_a_channel_people_get_a_digest_and_nothing_is_lost",
        "unit/service/test_alert_desk.py::test_after_an_outage_what_is_over_or_taken_rings_nobody",
        "unit/service/test_channel_failed.py::test_while_nobody_is_told_there_is_no_such_alert",
    ],
    "F23": [
        "simulation/test_alert_storm.py::test_every_critical_breach_is_told_and_the_messages_are_bounded",
        "unit/model/test_account.py::test_eleven_addresses_of_a_channel_are_refused",
        "unit/rules/test_alert_digest.py::test_every_critical_condition_is_told_and_messages_are_bounded",
    ],
    "F24": [
        "unit/rules/test_alert_escalation.py::test_nobody_acknowledges_so_the_next_person_is_told",
        "unit/rules/test_alert_escalation.py::test_the_operator_is_called_behind_the_last_person",
    ],
    "F25": [
        "simulation/test_poison.py::test_a_poison_among_a_hundred_holds_up_nothing_and_ends_as_a_dead_letter",
        "e2e/test_dead_letters.py::test_a_dead_letter_is_listed_shown_redriven_and_dropped",
        "functions/test_push.py::test_an_unknown_error_is_not_acknowledged_and_shows_nothing",
        "functions/test_deliveries.py::test_the_prefix_of_a_deployment_is_no_topic",
        "unit/service/test_quarantine.py::test_a_redelivery_is_kept_once",
    ],
    "F26": [
        "infra/test_topology.py::test_every_topic_has_a_reader_and_a_dead_letter_of_its_own",
        "infra/test_topology.py::test_dead_letters_outlive_what_they_were_sent_from_and_never_expire",
        "infra/test_topology.py::test_the_dead_letter_of_every_topic_is_created_and_kept_by_a_subscription",
    ],
    "F27": [
        "e2e/test_dead_letters.py::test_a_dead_letter_is_listed_shown_redriven_and_dropped",
        "unit/cli/test_dead_letters.py::test_all_that_is_redriven_is_off_the_list_however_long_it_takes",
    ],
    "F28": [
        "infra/test_topology.py::test_a_subscription_is_within_the_limits_of_pubsub",
        "infra/test_topology.py::test_dead_letters_outlive_what_they_were_sent_from_and_never_expire",
    ],
    "F29": [
        "infra/test_topology.py::test_only_push_functions_are_pushed_to",
        "infra/test_topology.py::test_a_subscription_is_within_the_limits_of_pubsub",
    ],
    "F30": [
        "unit/service/test_run_sweep.py::test_a_sweep_that_comes_twice_does_no_harm",
        "unit/service/test_run_sweep.py::test_a_valued_book_that_is_not_valued_again_leaves_the_same_documents_and_messages",
        "unit/service/test_run_sweep.py::test_after_sweeps_that_were_skipped_one_catches_up",
        "unit/service/test_watchdog.py::test_prices_notice_that_the_sweep_is_silent_and_the_sweep_that_it_is_back",
    ],
    "F31": [
        "unit/service/test_run_sweep.py::test_an_account_whose_outbox_cannot_be_published_is_told_and_the_round_goes_on",
        "unit/service/test_run_sweep.py::test_a_sweep_that_the_next_one_overtakes_tells_nothing_twice_and_sets_nothing_back",
    ],
    "F32": [
        "unit/model/test_calendars.py::test_an_open_market_has_the_session_of_that_day",
        "unit/rules/test_exit_subject.py::test_the_mtm_is_as_old_as_its_oldest_price_and_only_of_its_own_positions",
        "unit/service/test_usable_prices.py::test_a_stale_price_in_open_hours_is_unknown_and_told_once",
        "unit/service/test_usable_prices.py::test_while_the_market_is_closed_the_last_price_holds",
    ],
    "F33": [
        "unit/service/test_evaluate.py::test_an_older_evaluation_never_overwrites_a_newer_one",
        "unit/service/test_marks.py::test_of_two_sources_the_newer_price_holds",
    ],
    "F34": [
        "unit/service/test_marks.py::test_a_good_price_ends_the_suspicion",
        "unit/service/test_marks.py::test_a_price_far_off_the_last_one_is_held_back_and_told",
    ],
    "F35": [
        "functions/test_deliveries.py::test_a_minute_of_skew_and_a_message_that_waited_are_taken",
        "unit/runtime/test_quotas.py::test_a_clock_that_goes_back_gives_nothing_and_locks_nobody_out",
        "unit/service/test_run_sweep.py::test_a_heartbeat_of_the_future_is_written_over",
    ],
    "F36": [
        "unit/model/test_calendars.py::test_a_later_moment_never_counts_for_an_earlier_session",
        "unit/model/test_calendars.py::test_a_moment_counts_for_the_session_of_its_local_day",
        "unit/rules/test_figures.py::test_the_day_rolls_at_midnight_of_the_account_s_calendar",
        "unit/rules/test_figures.py::test_the_start_of_yesterday_does_not_hold_today",
    ],
    "F37": [
        "unit/rules/test_closing.py::test_a_fill_that_comes_after_flat_is_closed_too",
        "unit/service/test_close_book.py::test_a_fill_that_arrives_after_flat_is_closed_under_the_same_epoch",
    ],
    "F38": [
        "functions/test_kill_repeats.py::test_a_stop_that_is_repeated_after_its_end_says_that_it_is_over",
        "unit/service/test_controls.py::test_a_second_kill_is_recorded_but_is_no_new_epoch",
        "e2e/test_whole_pipeline.py::test_a_hundred_kills_at_once_are_one_halt",
    ],
    "F39": [
        "unit/model/test_control.py::test_the_epoch_of_commands_grows_whenever_a_scope_grows",
        "unit/service/test_close_book.py::test_a_resume_ends_the_closing_and_a_new_kill_begins_anew",
        "functions/test_client_commands.py::test_a_command_is_taken_once_in_time_and_not_of_an_epoch_that_is_over",
    ],
    "F40": [
        "functions/test_client_commands.py::test_the_cancel_of_a_kill_is_taken_however_late_it_comes",
        "functions/test_kill_outages.py::test_a_kill_with_pubsub_down_stands_and_says_that_delivery_is_pending",
    ],
    "F41": [
        "e2e/test_whole_pipeline.py::test_with_a_frozen_firestore_a_kill_reaches_the_adapters_and_is_stored_later",
        "functions/test_client_halts.py::test_a_halt_that_was_not_stored_holds_until_it_is",
        "functions/test_client_halts.py::test_a_kill_that_was_stored_by_the_first_path_meanwhile_is_not_stored_again_after_its_resume",
    ],
    "F42": [
        "functions/test_client.py::test_a_clock_that_is_set_back_makes_no_lease_longer",
        "functions/test_lease_api.py::test_a_silent_sweep_ends_leases",
    ],
    "F43": [
        "unit/service/test_close_book.py::test_positions_that_stay_open_are_told_again_and_then_to_people",
        "unit/rules/test_close_requests.py::test_a_rejected_command_is_tried_again_after_seconds_and_people_hear_of_the_third",
        "unit/rules/test_closing_trades.py::test_a_false_report_of_the_only_trade_of_a_position_does_not_end_its_closing",
    ],
    "F44": [
        "unit/rules/test_closing.py::test_however_fills_and_sweeps_fall_live_commands_never_sum_to_more_than_is_held",
        "functions/test_client_commands.py::test_a_close_never_passes_zero",
        "unit/rules/test_close_beside_halts.py::test_a_kill_of_a_part_ends_no_command_that_it_has_not_cancelled",
    ],
    "F45": [
        "unit/service/test_resume_by_two.py::test_one_person_is_not_two",
        "functions/test_kill_commands.py::test_a_resume_is_typed_and_takes_two_people_for_the_whole",
        "functions/test_kill_resume.py::test_a_stale_approval_is_none_and_all_of_it_is_on_record",
    ],
    "F46": [
        "unit/service/test_aggregate.py::test_an_older_version_leaves_alone_what_a_newer_one_has_written",
        "unit/ledger/test_encoding.py::test_a_book_by_a_newer_stopline_is_not_touched",
        "unit/ledger/test_encoding.py::test_a_book_of_the_first_schema_is_read_as_fifo_without_amendments",
    ],
    "F47": [
        "unit/runtime/test_versions.py::test_another_major_version_is_quarantined_and_changes_nothing",
        "functions/test_client.py::test_a_lease_of_a_later_version_is_read",
        "functions/test_client.py::test_a_stopline_of_before_is_not_told_how_many_orders_were_sent",
    ],
    "F48": [
        "unit/service/test_accounts.py::test_two_changes_at_once_do_not_overwrite_each_other",
        "unit/service/test_evaluate.py::test_settings_that_change_in_the_middle_decide_at_once_and_older_ones_never_again",
    ],
    "F49": [
        "unit/service/test_accounts.py::test_what_was_read_last_holds_for_a_day_where_settings_are_damaged",
        "functions/test_kill_switch.py::test_one_account_that_cannot_be_read_keeps_no_other_one_trading",
        "unit/rules/test_limits.py::test_a_share_of_almost_nothing_is_told_in_a_number_that_an_alert_can_carry",
    ],
    "F50": [
        "unit/ledger/test_book.py::test_the_book_keeps_seventy_sessions_and_all_totals",
        "unit/service/test_controls.py::test_halts_that_are_remembered_are_bounded_too_and_those_of_before_are_known",
        "unit/service/test_book_size.py::test_a_full_book_takes_no_new_lots_and_every_closing",
    ],
    "F51": [
        "infra/test_topology.py::test_nothing_that_decides_is_deleted_by_time",
        "simulation/test_simulation.py::test_no_schedule_breaks_an_invariant",
    ],
    "F52": [
        "unit/service/test_history_outage.py::test_a_day_without_bigquery_loses_no_row",
        "unit/rules/test_close_requests.py::test_a_row_of_the_log_has_the_columns_of_its_table",
        "unit/service/test_accounts.py::test_a_row_that_the_history_refuses_is_quarantined_and_its_neighbours_are_kept",
        "unit/service/test_history_verify.py::test_days_that_were_not_compared_are_compared_as_soon_as_the_history_is_back",
        "unit/cli/test_quarantine.py::test_a_row_that_bigquery_refused_is_appended_when_it_comes_back",
    ],
    "F53": [
        "contract/test_history.py::test_what_is_kept_is_counted_by_event_with_its_contents",
        "unit/service/test_history_rows.py::test_every_event_has_an_id_of_its_own",
        "unit/service/test_history_verify.py::test_two_rows_of_one_id_with_other_content_are_told_once",
    ],
    "F54": [
        "unit/ledger/test_rebuild.py::test_a_book_that_is_rebuilt_from_its_log_is_the_live_one_byte_by_byte",
        "unit/service/test_set_back.py::test_fills_come_again_and_the_book_is_what_it_was",
        "unit/service/test_set_back.py::test_what_was_stopped_and_not_resumed_is_stopped_again_by_whom_it_was",
        "unit/service/test_set_back.py::test_a_copy_gives_no_lease_and_its_first_sweep_stops_everything_for_two_people",
        "unit/service/test_aggregate.py::test_a_decision_that_fails_by_a_cached_copy_is_made_again_by_what_stands",
        "unit/service/test_set_back.py::test_rows_of_after_a_restore_hide_none_of_before_and_are_the_later_ones",
        "e2e/test_rewind.py::test_what_is_not_delivered_yet_is_not_given_up",
    ],
    "F55": [
        "unit/service/test_reconcile.py::test_the_first_pass_suspects_and_blocks_and_the_second_confirms_and_tells",
    ],
    "F56": [
        "unit/ledger/test_amend.py::test_any_order_of_arrival_gives_what_stands_in_the_end",
    ],
    "F57": [
        "unit/model/test_chain.py::test_each_of_ten_thousand_rows_is_found_changed_removed_or_moved",
        "unit/model/test_chain.py::test_one_of_ten_thousand_rows_is_found_and_named",
        "unit/cli/test_audit.py::test_a_journal_that_was_removed_as_a_whole_is_found_by_the_export",
        "unit/cli/test_audit.py::test_a_row_that_was_altered_in_the_store_is_found",
    ],
    "F58": [
        "functions/test_bodies.py::test_the_largest_price_batches_take_little_memory_and_leave_nothing_behind",
        "unit/service/test_marks.py::test_a_feed_of_more_symbols_than_fit_loses_the_oldest_prices_and_takes_every_batch",
        "unit/brokers/test_native.py::test_as_many_fills_are_taken_as_of_any_broker",
        "functions/test_push.py::test_a_body_that_is_too_large_is_refused_before_it_is_parsed",
    ],
    "F59": [
        "unit/service/test_run_sweep.py::test_an_outbox_is_emptied_only_at_the_version_that_was_read",
    ],
    "F60": [
        "functions/test_secrets_gone.py::test_a_kill_goes_its_whole_way_where_no_secret_was_ever_to_be_read",
        "functions/test_secrets_gone.py::test_a_secret_that_goes_away_is_used_for_five_minutes_more_and_no_kill_waits_for_it",
        "functions/test_secrets_gone.py::test_a_version_that_was_revoked_before_the_new_one_is_read_costs_no_kill_and_no_word",
        "unit/runtime/test_rotation.py::test_a_new_version_is_used_within_five_minutes_and_nothing_is_built_before",
        "unit/runtime/test_rotation.py::test_a_file_that_cannot_be_read_keeps_the_last_value_for_five_minutes_and_then_the_channel_is_off",
    ],
    "B01": [
        "functions/test_kill_bad_requests.py::test_a_bad_request_is_refused_with_its_reason",
        "unit/model/test_wire.py::test_whatever_is_no_object_is_refused",
        "unit/runtime/test_envelope.py::test_any_json_is_an_envelope_or_refused",
    ],
    "B02": [
        "functions/test_kill_bad_requests.py::test_a_bad_request_is_refused_with_its_reason",
        "functions/test_kill_bad_requests.py::test_a_body_that_ends_too_early_is_no_fault_of_ours",
        "functions/test_push.py::test_a_body_that_ends_too_early_is_not_acknowledged",
    ],
    "B03": [
        "functions/test_kill_bad_requests.py::test_a_bad_request_is_refused_with_its_reason",
        "unit/runtime/test_envelope.py::test_data_that_is_not_base64_is_refused_as_such",
        "unit/runtime/test_envelope.py::test_any_json_is_an_envelope_or_refused",
    ],
    "B04": [
        "functions/test_kill_bad_requests.py::test_a_bad_request_is_refused_with_its_reason",
        "unit/runtime/test_envelope.py::test_a_body_that_is_neither_is_refused",
        "unit/runtime/test_envelope.py::test_the_body_says_what_a_push_is_and_its_content_type_may_not_say_otherwise",
        "unit/runtime/test_envelope.py::test_a_message_without_an_id_gets_one_from_its_content",
    ],
    "B05": [
        "functions/test_kill_bad_requests.py::test_a_bad_request_is_refused_with_its_reason",
        "unit/model/test_wire.py::test_the_limit_of_nesting_is_exact",
        "functions/test_push.py::test_a_malformed_body_is_acknowledged_and_quarantined",
        "functions/test_push.py::test_a_fill_that_is_right_but_for_one_flaw_is_refused_for_it",
    ],
    "B06": [
        "functions/test_kill_bad_requests.py::test_a_bad_request_is_refused_with_its_reason",
        "functions/test_push.py::test_a_malformed_body_is_acknowledged_and_quarantined",
        "unit/model/test_wire.py::test_any_bytes_are_decoded_or_refused_and_nothing_else",
        "functions/test_push.py::test_a_fill_that_is_right_but_for_one_flaw_is_refused_for_it",
    ],
    "B07": [
        "functions/test_kill_bad_requests.py::test_a_bad_request_is_refused_with_its_reason",
        "unit/cli/test_odd_input.py::test_a_file_may_begin_with_a_byte_order_mark_and_a_message_not",
        "functions/test_push.py::test_a_malformed_body_is_acknowledged_and_quarantined",
    ],
    "B08": [
        "functions/test_kill_bad_requests.py::test_a_bad_request_is_refused_with_its_reason",
        "unit/model/test_account.py::test_text_of_several_lines_or_with_control_characters_is_refused",
        "unit/service/test_quarantine.py::test_whatever_was_refused_can_be_kept",
        "functions/test_push.py::test_a_fill_that_is_right_but_for_one_flaw_is_refused_for_it",
    ],
    "B09": [
        "functions/test_push.py::test_a_malformed_body_is_acknowledged_and_quarantined",
        "unit/model/test_account.py::test_text_of_several_lines_or_with_control_characters_is_refused",
        "unit/service/test_quarantine.py::test_whatever_was_refused_can_be_kept",
        "functions/test_push.py::test_a_fill_that_is_right_but_for_one_flaw_is_refused_for_it",
    ],
    "B10": [
        "functions/test_bodies.py::test_a_body_without_end_is_refused_unread",
        "functions/test_push.py::test_a_body_that_is_too_large_is_refused_before_it_is_parsed",
    ],
    "B11": [
        "functions/test_bodies.py::test_a_compressed_body_is_refused_and_never_unpacked",
        "functions/test_bodies.py::test_a_compressed_push_is_quarantined",
    ],
    "B12": [
        "unit/model/test_wire.py::test_a_message_full_of_faults_is_described_in_bounded_length",
        "unit/model/test_wire.py::test_ten_thousand_unknown_fields_are_refused_in_few_words",
    ],
    "B13": [
        "unit/model/test_fill.py::test_two_kilobytes_of_unknown_fields_are_refused",
        "unit/model/test_fill.py::test_unknown_fields_are_kept",
    ],
    "B14": [
        "unit/model/test_fill.py::test_an_impossible_fill_is_refused_by_name_of_its_field",
        "unit/model/test_fill.py::test_whatever_stands_in_a_field_it_is_a_fill_or_refused",
        "unit/brokers/test_statements.py::test_a_statement_that_cannot_be_right_is_refused",
    ],
    "B15": [
        "unit/model/test_fill.py::test_an_impossible_fill_is_refused_by_name_of_its_field",
        "unit/model/test_wire.py::test_any_json_is_decoded_or_refused_and_what_is_decoded_survives_a_round_trip",
        "unit/model/test_account.py::test_a_setting_that_cannot_be_is_refused_by_name",
    ],
    "B16": [
        "unit/model/test_fill.py::test_an_impossible_fill_is_refused_by_name_of_its_field",
        "unit/model/test_wire.py::test_any_json_is_decoded_or_refused_and_what_is_decoded_survives_a_round_trip",
        "unit/model/test_decimals.py::test_what_is_no_plain_decimal_string_is_refused",
    ],
    "B17": [
        "functions/test_push.py::test_a_fill_that_cannot_be_booked_is_quarantined_with_its_reason",
        "unit/cli/test_odd_input.py::test_a_field_that_is_odd_is_answered_or_one_line_and_two",
    ],
    "B18": [
        "unit/cli/test_odd_input.py::test_a_field_that_is_odd_is_answered_or_one_line_and_two",
        "unit/model/test_fill.py::test_an_impossible_fill_is_refused_by_name_of_its_field",
    ],
    "B19": [
        "unit/model/test_fill.py::test_which_prices_are_possible_depends_on_the_kind",
        "unit/model/test_fill.py::test_an_impossible_fill_is_refused_by_name_of_its_field",
    ],
    "B20": [
        "unit/ledger/test_position.py::test_an_option_that_expires_worthless_is_closed_at_zero",
        "unit/rules/test_figures.py::test_a_mark_of_zero_is_a_price",
    ],
    "B21": [
        "unit/model/test_decimals.py::test_a_wire_number_is_read_exactly",
        "unit/model/test_decimals.py::test_what_is_no_plain_decimal_string_is_refused",
    ],
    "B22": [
        "unit/model/test_decimals.py::test_a_wire_number_is_read_exactly",
        "unit/model/test_decimals.py::test_what_is_no_plain_decimal_string_is_refused",
        "functions/test_push.py::test_a_fill_that_is_right_but_for_one_flaw_is_refused_for_it",
    ],
    "B23": [
        "unit/model/test_decimals.py::test_a_wire_number_is_read_exactly",
        "unit/cli/test_odd_input.py::test_a_field_that_is_odd_is_answered_or_one_line_and_two",
    ],
    "B24": [
        "unit/model/test_decimals.py::test_what_is_no_plain_decimal_string_is_refused",
        "unit/cli/test_odd_input.py::test_a_text_that_is_no_input_is_one_line_and_two",
    ],
    "B25": [
        "unit/model/test_decimals.py::test_what_is_no_plain_decimal_string_is_refused",
    ],
    "B26": [
        "unit/brokers/test_statements.py::test_a_statement_that_cannot_be_right_is_refused",
        "unit/model/test_instrument.py::test_a_share_with_impossible_terms_is_refused",
    ],
    "B27": [
        "unit/model/test_increments.py::test_a_fill_off_the_tick_or_lot_is_named_and_not_rounded",
        "unit/model/test_increments.py::test_without_a_known_step_any_price_and_quantity_may_be",
    ],
    "B28": [
        "unit/model/test_fill.py::test_an_impossible_fill_is_refused_by_name_of_its_field",
        "unit/ledger/test_book.py::test_net_is_exact",
        "unit/ledger/test_encoding.py::test_numbers_of_any_size_survive",
    ],
    "B29": [
        "unit/model/test_wire.py::test_any_json_is_decoded_or_refused_and_what_is_decoded_survives_a_round_trip",
        "functions/test_push.py::test_a_message_that_can_never_succeed_is_acknowledged_and_quarantined",
        "functions/test_push.py::test_a_fill_that_is_right_but_for_one_flaw_is_refused_for_it",
    ],
    "B30": [
        "unit/cli/test_odd_input.py::test_a_field_that_is_odd_is_answered_or_one_line_and_two",
        "unit/model/test_prices.py::test_a_bad_item_is_refused_with_its_reason",
    ],
    "B31": [
        "unit/model/test_times.py::test_a_time_in_any_zone_is_read_into_utc",
        "unit/model/test_times.py::test_what_is_no_rfc_3339_time_with_a_zone_is_refused",
    ],
    "B32": [
        "unit/model/test_times.py::test_what_is_no_rfc_3339_time_with_a_zone_is_refused",
        "unit/model/test_prices.py::test_a_batch_with_a_wrong_envelope_is_refused_whole",
    ],
    "B33": [
        "unit/model/test_times.py::test_a_year_that_sums_would_overflow_with_is_refused",
        "unit/model/test_times.py::test_what_is_no_date_is_refused",
    ],
    "B34": [
        "functions/test_deliveries.py::test_a_fill_of_the_future_is_told_as_what_it_is_a_position_that_is_wrong",
        "functions/test_deliveries.py::test_an_instance_whose_clock_is_behind_takes_nothing_and_says_so",
    ],
    "B35": [
        "unit/service/test_record_fill.py::test_a_fill_that_cannot_be_is_refused_and_nothing_is_created",
        "functions/test_push.py::test_a_fill_that_cannot_be_booked_is_quarantined_with_its_reason",
    ],
    "B36": [
        "functions/test_conflicts.py::test_every_conflicting_duplicate_is_quarantined_and_told_and_changes_nothing",
        "unit/service/test_record_fill.py::test_the_same_id_with_other_content_is_refused_and_the_first_stands",
        "functions/test_push.py::test_a_conflicting_duplicate_is_quarantined_and_people_are_woken",
        "unit/cli/test_odd_input.py::test_one_id_with_two_contents_is_told_by_its_line",
    ],
    "B37": [
        "unit/model/test_decimals.py::test_equal_numbers_have_one_text",
        "unit/model/test_fill.py::test_the_hash_is_equal_for_1_0_and_1_00_and_for_any_order_of_keys",
    ],
    "B38": [
        "unit/model/test_fill.py::test_the_same_fill_id_of_another_broker_or_account_is_another_fill",
        "unit/service/test_record_fill.py::test_the_same_id_at_another_broker_or_account_is_another_fill",
    ],
    "B39": [
        "unit/model/test_ids.py::test_an_id_outside_its_grammar_is_refused",
        "unit/runtime/test_envelope.py::test_long_ids_are_cut",
        "unit/model/test_account.py::test_a_setting_that_cannot_be_is_refused_by_name",
    ],
    "B40": [
        "unit/model/test_ids.py::test_a_document_id_is_one_that_firestore_takes_in_one_place",
        "unit/model/test_ids.py::test_an_id_outside_its_grammar_is_refused",
    ],
    "B41": [
        "unit/model/test_ids.py::test_a_document_id_is_one_that_firestore_takes_in_one_place",
        "unit/model/test_ids.py::test_an_id_outside_its_grammar_is_refused",
    ],
    "B42": [
        "unit/model/test_account.py::test_a_setting_that_cannot_be_is_refused_by_name",
        "unit/model/test_ids.py::test_a_document_id_is_one_that_firestore_takes_in_one_place",
    ],
    "B43": [
        "unit/model/test_fill.py::test_no_two_identities_share_a_key_by_a_trick_of_separators",
        "unit/model/test_ids.py::test_two_lists_of_parts_never_share_a_document_id",
    ],
    "B44": [
        "unit/model/test_ids.py::test_a_document_id_is_one_that_firestore_takes_in_one_place",
        "unit/model/test_ids.py::test_an_id_outside_its_grammar_is_refused",
    ],
    "B45": [
        "functions/test_api.py::test_another_path_is_not_found",
        "unit/model/test_ids.py::test_a_document_id_is_one_that_firestore_takes_in_one_place",
    ],
    "B46": [
        "unit/model/test_ids.py::test_symbols_are_upper_case_and_without_spaces",
        "unit/model/test_ids.py::test_two_lists_of_parts_never_share_a_document_id",
    ],
    "B47": [
        "unit/model/test_ids.py::test_symbols_are_upper_case_and_without_spaces",
        "unit/model/test_prices.py::test_a_bad_item_is_refused_with_its_reason",
    ],
    "B48": [
        "functions/test_push.py::test_a_fill_that_cannot_be_booked_is_quarantined_with_its_reason",
        "unit/brokers/test_native.py::test_an_unknown_dialect_is_refused_with_those_there_are",
        "unit/service/test_accounts.py::test_a_name_that_is_taken_is_not_given_twice",
        "unit/cli/test_quarantine.py::test_what_could_be_read_and_not_be_booked_comes_back_as_the_fill_that_it_was",
    ],
    "B49": [
        "unit/service/test_record_fill.py::test_a_fill_that_cannot_be_is_refused_and_nothing_is_created",
        "unit/service/test_record_fill.py::test_a_fill_at_the_edge_is_booked",
    ],
    "B50": [
        "unit/model/test_fill.py::test_an_unknown_field_cannot_take_the_place_of_a_known_fact",
        "unit/service/test_stored_shapes.py::test_a_value_that_looks_like_a_type_of_the_database_stays_text",
    ],
    "B51": [
        "unit/service/test_stored_shapes.py::test_a_value_that_looks_like_a_type_of_the_database_stays_text",
    ],
    "B52": [
        "unit/model/test_fill.py::test_an_impossible_fill_is_refused_by_name_of_its_field",
    ],
    "B53": [
        "unit/ledger/test_position.py::test_a_fee_in_another_currency_is_kept_apart",
        "unit/rules/test_figures.py::test_nothing_needs_no_rate",
        "unit/rules/test_figures.py::test_without_a_rate_everything_in_that_currency_is_unknown",
    ],
    "B54": [
        "unit/model/test_fill.py::test_a_fee_in_a_third_currency_is_not_measured_by_the_notional",
        "unit/model/test_fill.py::test_a_fee_taken_out_of_the_units_is_not_more_than_they_are",
    ],
    "B55": [
        "unit/model/test_prices.py::test_a_batch_of_no_items_or_of_too_many_is_refused_whole",
        "unit/model/test_prices.py::test_a_batch_of_5000_items_is_taken",
        "unit/model/test_prices.py::test_of_a_symbol_that_stands_twice_the_later_item_wins",
    ],
    "B56": [
        "functions/test_push.py::test_one_bad_fill_of_a_list_is_quarantined_alone",
        "unit/brokers/test_native.py::test_a_bad_fill_among_good_ones_is_refused_alone",
    ],
    "B57": [
        "unit/service/test_marks.py::test_of_two_prices_of_one_moment_the_first_stands",
        "unit/service/test_marks.py::test_a_newer_price_replaces_an_older_one_and_never_the_other_way",
    ],
    "B59": [
        "unit/brokers/test_native.py::test_a_message_without_a_type_is_refused_whole",
        "unit/brokers/test_native.py::test_a_message_of_an_unknown_type_or_version_is_refused_whole",
    ],
    "B60": [
        "unit/brokers/test_native.py::test_an_attribute_that_contradicts_the_body_is_a_refusal",
        "unit/brokers/test_native.py::test_attributes_that_agree_and_those_that_mean_nothing_are_fine",
    ],
    "B61": [
        "functions/test_refusals.py::test_each_refusal_says_who_asked_from_where_for_what",
        "functions/test_refusals.py::test_nobody_fills_the_log_or_hides_another_behind_a_flood",
        "functions/test_push.py::test_what_another_subscription_pushes_is_refused_and_logged",
    ],
    "B62": [
        "unit/runtime/test_identity.py::test_a_token_that_is_not_valid_here_is_nobody",
        "functions/test_alerts_api.py::test_a_link_that_is_not_ours_does_nothing",
        "functions/test_api.py::test_without_a_known_token_nothing_is_said",
    ],
    "B63": [
        "functions/test_matrix.py::test_a_proven_identity_has_what_accounts_grant_to_its_address_and_nothing_else",
        "unit/runtime/test_identity.py::test_a_valid_token_of_somebody_else_is_not_admitted",
    ],
    "B64": [
        "functions/test_matrix.py::test_every_right_opens_its_routes_on_its_accounts_and_nothing_else",
        "functions/test_api.py::test_a_foreign_account_looks_as_an_unknown_one",
        "functions/test_lease_api.py::test_a_lease_needs_the_right_to_trade",
    ],
    "B65": [
        "functions/test_kill_resume.py::test_nobody_may_say_how_many_must_agree",
        "functions/test_kill_access.py::test_the_actor_is_the_caller_and_nobody_else",
    ],
    "B66": [
        "functions/test_kill_bad_requests.py::test_a_bad_request_is_refused_with_its_reason",
        "unit/model/test_scopes.py::test_other_text_is_no_scope",
        "unit/runtime/test_auth.py::test_a_right_holds_on_its_accounts_only",
    ],
    "B67": [
        "functions/test_kill_repeats.py::test_the_same_request_again_is_one_kill",
        "functions/test_kill_repeats.py::test_the_same_request_id_with_other_content_is_a_conflict",
        "unit/service/test_controls.py::test_the_same_request_id_with_other_content_is_refused",
    ],
    "B68": [
        "functions/test_kill_bad_requests.py::test_a_bad_request_is_refused_with_its_reason",
        "functions/test_kill_bad_requests.py::test_no_reason_keeps_trading_from_being_stopped",
        "unit/runtime/test_logs.py::test_whatever_is_logged_is_one_json_object_on_one_line",
    ],
    "B69": [
        "functions/test_kill_bad_requests.py::test_html_in_a_reason_is_text",
        "unit/rules/test_texts.py::test_the_html_loads_nothing_and_runs_nothing",
        "unit/service/test_risk_report.py::test_hostile_text_is_text_on_the_page",
        "unit/model/test_account.py::test_any_other_line_of_500_characters_is_kept_as_it_is",
    ],
    "B70": [
        "unit/cli/test_options.py::test_a_cell_that_a_spreadsheet_would_run_is_text_and_a_number_stays_one",
    ],
    "B71": [
        "unit/service/test_watchdog.py::test_the_beacon_calls_no_address_of_ours",
        "functions/test_client_page.py::test_a_token_goes_to_https_or_this_machine_only",
        "unit/model/test_account.py::test_an_address_that_is_no_discord_webhook_is_refused",
    ],
    "B72": [
        "unit/model/test_account.py::test_a_phone_number_that_is_not_e164_is_refused",
        "unit/model/test_account.py::test_an_e_mail_address_that_could_carry_more_than_one_is_refused",
    ],
    "B73": [
        "unit/rules/test_limits.py::test_a_limit_out_of_range_is_a_fault_of_the_settings",
        "unit/rules/test_loosening.py::test_many_small_steps_are_one_large_one",
        "unit/rules/test_loosening.py::test_what_lets_much_more_through_takes_two",
        "functions/test_order_api.py::test_a_desk_of_one_person_may_say_so",
        "functions/test_order_api.py::test_a_limit_is_switched_off_by_two_people",
    ],
    "B74": [
        "functions/test_api.py::test_a_flood_of_one_caller_is_cut",
        "functions/test_kill_bad_requests.py::test_a_flood_of_questions_leaves_the_kill_its_reserve",
    ],
    "B75": [
        "functions/test_logged_secrets.py::test_no_function_logs_any_secret_whatever_fails",
        "functions/test_logged_secrets.py::test_without_redaction_the_same_requests_show_every_secret",
        "e2e/test_whole_pipeline.py::test_no_secret_is_in_any_line_that_any_function_logged",
        "unit/runtime/test_logs.py::test_a_secret_is_taken_out_wherever_it_stands_in_a_record",
        "functions/test_api.py::test_an_unknown_error_shows_no_trace",
        "functions/test_kill_outages.py::test_an_unknown_error_shows_no_trace",
    ],
    "B76": [
        "functions/test_api.py::test_a_query_that_is_not_understood_is_refused",
        "functions/test_kill_bad_requests.py::test_a_query_that_is_not_understood_is_refused",
    ],
    "B77": [
        "functions/test_kill_bad_requests.py::test_only_json_changes_anything",
        "functions/test_kill_bad_requests.py::test_only_a_post_changes_anything",
        "functions/test_api.py::test_an_account_is_read_with_get",
    ],
}
