/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * attacks: what strangers, bad luck and unfriendly peers may do to the engine, datagram by datagram.
 */
#ifndef SIM_ATTACKS_H
#define SIM_ATTACKS_H

#define ATTACKS(X)                                                         \
	X(data_sent_while_the_finished_is_lost_does_not_lock_it_out)       \
	X(data_that_overtakes_the_finished_is_delivered)                   \
	X(forged_data_does_not_lock_the_finished_out)                      \
	X(forged_finished_records_do_not_end_a_handshake)                  \
	X(a_late_hello_of_the_session_does_not_harm_the_restart)           \
	X(a_late_hello_of_an_abandoned_handshake_does_not_harm_the_next)   \
	X(a_restart_needs_no_second_place)                                 \
	X(a_session_that_ends_beside_a_handshake_leaves_it_its_place)      \
	X(one_datagram_begins_one_handshake)                               \
	X(who_is_over_a_limit_does_not_use_up_the_rate)                    \
	X(rosters_under_way_are_bounded)                                   \
	X(a_blocked_socket_loses_no_goodbye)                               \
	X(sessions_that_expire_together_hold_nobody_up)                    \
	X(records_of_full_size_come_and_go)                                \
	X(a_message_too_large_is_refused_and_counted)                      \
	X(several_records_share_a_datagram)                                \
	X(renegotiation_is_refused_and_the_session_lives)                  \
	X(a_finished_sent_again_is_answered_now_and_then)                  \
	X(a_lost_change_cipher_spec_does_not_matter)                       \
	X(a_hello_in_many_fragments_is_understood)                         \
	X(a_large_client_certificate_in_reverse_needs_one_flight)          \
	X(alerts_do_what_they_say)                                         \
	X(a_forged_alert_is_forgotten_when_the_handshake_goes_on)

#define X(name) void name(void **state);
ATTACKS(X)
#undef X

#endif
