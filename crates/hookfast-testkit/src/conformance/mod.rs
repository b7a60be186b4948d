//! What every store must keep, whatever it is made of: one function per promise of the ports of `hookfast-core`.
//!
//! A back-end proves itself with one line, `conformance_suite!(MyBackend);`, which makes a test of each function. The
//! suite knows no back-end: it asks [`Backend`](crate::Backend) for what it must know.

pub mod accepting;
pub mod claiming;
pub mod configuring;
pub mod deleting;
pub mod duties;
pub mod emitting;
pub mod keys;
pub mod listing;
pub mod ordering;
pub mod reading;
pub mod recovering;
pub mod replaying;
pub mod routing;
pub mod settling;
pub mod throttling;
pub mod tokens;
pub mod too_many;

/// Makes a test of every promise, for one back-end.
#[macro_export]
macro_rules! conformance_suite {
    ($backend:ty) => {
        $crate::conformance_suite! { @modules $backend, <$backend as $crate::Backend>::ORDERS;
            ordering {
                only_the_first_of_each_key_is_given
                the_next_is_due_when_the_one_before_it_has_ended
                retries_keep_their_place
                a_dead_one_is_skipped_where_that_is_wanted
                a_dead_one_holds_up_its_key_until_it_was_replayed
                a_recover_frees_the_keys_that_dead_ones_hold_up
                order_survives_a_restart
                other_keys_and_events_without_a_key_are_not_held_up
                the_key_is_found_in_the_payload
                very_many_rows_behind_one_key_are_no_burden
                a_change_of_order_frees_what_dead_ones_held_up
                what_is_too_old_holds_up_nothing
                a_deleted_endpoint_ends_what_waited_in_order
                an_event_with_very_many_endpoints_keeps_its_place
            }
        }
        $crate::conformance_suite! { @modules $backend, true;
            accepting {
                accepted_events_survive_a_restart_byte_for_byte
                the_origin_of_an_event_is_kept_and_stays_that_of_the_first
                a_delivery_with_a_slot_is_handed_over
                a_delivery_without_a_slot_is_a_row_that_can_be_claimed
                no_slot_is_lost_when_some_are_refused
                results_come_in_order_and_one_bad_event_spoils_no_other
                an_event_that_nobody_wants_is_kept
                an_event_with_very_many_endpoints_reaches_each_once
                accepting_at_once_from_many_tasks_keeps_every_event
            }
            routing {
                filters_choose_the_endpoints
                a_change_is_in_force_for_the_next_event
                a_new_endpoint_gets_what_comes_after_it
                a_disabled_endpoint_keeps_what_waits_and_gets_nothing_new
                a_route_to_one_endpoint_ignores_filters
            }
            keys {
                the_same_key_and_body_is_one_event
                the_same_key_with_another_body_is_a_conflict
                a_hundred_at_once_with_one_key_are_one_event
                keys_survive_a_restart
                the_same_uid_is_one_event_of_its_application
                repeats_in_one_batch_are_one_event
                a_repeated_creation_answers_with_the_first
            }
            settling {
                every_outcome_from_memory_reads_back
                every_outcome_from_the_queue_reads_back
                a_delivery_lives_through_retries_to_its_end
                a_stale_lease_changes_nothing_but_keeps_its_attempt
                every_settlement_comes_back_once
                crashes_are_remembered
                settling_and_accepting_at_once_lose_nothing
            }
            claiming {
                the_oldest_due_come_first_and_no_more_than_asked_for
                nothing_is_given_before_it_is_due
                what_is_held_is_given_to_nobody_else
                what_is_given_back_is_given_again_under_a_new_lease
                many_rows_of_one_endpoint_stand_in_nobodys_way
                claims_at_once_never_give_a_row_twice
                a_claimed_delivery_is_whole
                waiting_lists_endpoints_with_free_rows
            }
            recovering {
                what_was_in_memory_comes_back_once_and_what_was_settled_does_not
                claimed_rows_are_free_after_a_restart
                a_lease_of_an_earlier_life_is_stale
                half_settled_events_come_back_for_the_other_half
                what_was_in_memory_for_a_deleted_endpoint_ends_cancelled
                each_life_has_a_higher_incarnation
                ids_never_go_backwards_over_a_restart
                a_place_belongs_to_one_process
            }
            deleting {
                a_deleted_endpoint_is_gone_and_what_waited_ends_cancelled
                a_deleted_application_is_gone_with_all_that_waited
                a_try_that_ends_after_its_endpoint_is_deleted_leaves_nothing_behind
            }
            replaying {
                a_resend_is_the_next_run
                a_resend_while_one_is_unfinished_queues_nothing
                a_resend_that_cannot_be_is_refused
                a_repeated_resend_is_one
                a_resend_ignores_filters
                recover_replays_the_dead_of_its_time_and_no_others
                a_recover_goes_on_after_a_restart
            }
            reading {
                an_event_is_found_by_id_and_uid_in_its_application_only
                events_are_filtered
                attempts_read_back_whole
                attempts_are_filtered
                stats_count_by_the_hour
                totals_count_what_waits
                the_oldest_that_waits_is_known
                the_owner_of_an_id_is_found
            }
            listing {
                applications_page_both_ways
                endpoints_page_both_ways
                event_types_page_both_ways
                events_page_both_ways
                attempts_page_both_ways
                ended_deliveries_page_both_ways
                few_among_very_many_are_found_though_each_page_looks_at_some_only
            }
            configuring {
                an_application_is_kept_and_changed
                uids_of_applications_are_unique_in_their_organisation
                an_application_in_memory_is_never_out_of_date
                an_endpoint_is_kept_whole
                an_endpoint_patch_changes_what_it_names
                uids_of_endpoints_are_unique_in_their_application
                headers_are_replaced_and_merged
                a_rotated_secret_signs_until_its_grace_ends
                event_types_are_kept_archived_and_brought_back
                health_marks_survive_a_restart
            }
            throttling {
                the_throttle_of_an_application_is_told_and_is_part_of_its_endpoints
                rows_under_a_throttle_are_given_to_the_node_that_asks
            }
            tokens {
                a_token_is_found_by_its_hash
                a_revoked_token_is_dead_at_once
                a_token_ends_at_its_time
            }
            duties {
                an_empty_store_has_nothing_to_do
                retention_takes_what_is_old_and_nothing_else
                retention_is_by_application
                unfinished_work_that_is_too_old_ends
                what_waits_too_long_for_a_disabled_endpoint_ends
                the_audit_of_a_sound_store_finds_nothing
            }
            emitting {
                a_started_emitter_is_kept_until_it_is_stopped
                emitters_are_listed_by_when_they_were_started
                progress_only_grows_and_ends_at_the_count
                an_emitter_follows_its_endpoint
                starts_at_once_keep_one
                exclusive_work_is_held_until_it_is_released
            }
        }
    };
    (@modules $backend:ty, $promised:expr; $($module:ident { $($promise:ident)* })*) => {
        $($crate::conformance_suite! { @module $backend, $promised; $module { $($promise)* } })*
    };
    (@module $backend:ty, $promised:expr; $module:ident { $($promise:ident)* }) => {
        mod $module {
            #[allow(unused_imports, reason = "the back-end may be named by its whole path")]
            use super::*;
            $(
                #[test]
                fn $promise() {
                    if $promised && <$backend as $crate::Backend>::can_run() {
                        $crate::run($crate::conformance::$module::$promise::<$backend>());
                    }
                }
            )*
        }
    };
}

#[cfg(test)]
mod tests {
    /// A promise that the list above forgot would be checked for no back-end.
    #[test]
    fn the_suite_names_every_promise() {
        let list = include_str!("mod.rs");
        let files = [
            include_str!("accepting.rs"),
            include_str!("routing.rs"),
            include_str!("keys.rs"),
            include_str!("settling.rs"),
            include_str!("claiming.rs"),
            include_str!("recovering.rs"),
            include_str!("deleting.rs"),
            include_str!("replaying.rs"),
            include_str!("reading.rs"),
            include_str!("listing.rs"),
            include_str!("ordering.rs"),
            include_str!("configuring.rs"),
            include_str!("tokens.rs"),
            include_str!("duties.rs"),
            include_str!("emitting.rs"),
        ];
        let mut promises = 0;
        for line in files.iter().flat_map(|file| file.lines()) {
            let Some(rest) = line.strip_prefix("pub async fn ") else { continue };
            let name = rest.split('<').next().unwrap();
            assert!(list.lines().any(|line| line.trim() == name), "{name} is not in the suite");
            promises += 1;
        }
        assert!(promises > 60);
    }
}
