/* SPDX-License-Identifier: BSD-2-Clause */
#include "explain.h"

#include <inttypes.h>

#include "log.h"

/*
 * What this machine does wrong is a warning. What strangers send is nobody's fault here and comes in every hour
 * of the internet: that is for who asks for more.
 */
static const struct text {
	enum log_level level;
	const char *advice;
} texts[METRIC_COUNT] = {
	[METRIC_rx_kernel_drops] = { LOG_WARNING_, "the workers are slower than what comes in, or the buffer is small: "
						   "raise net.core.rmem_max or --workers" },
	[METRIC_rx_hello_drops] = { LOG_NOTICE_, "a flood of hellos, from which the sessions are kept apart; "
						 "more --workers answer more of them" },
	[METRIC_tx_queue_full] = { LOG_WARNING_, "the kernel takes datagrams more slowly than they are made: "
						 "raise net.core.wmem_max, or have the handler say less" },
	[METRIC_tx_fragmented] = { LOG_INFO_, "messages are larger than the path of their peer takes at once: "
					      "have the handler send shorter ones" },
	[METRIC_drop_malformed] = { LOG_INFO_, "a scanner, another protocol on this port, or damage on the way; "
					       "if it is one of your clients, it does not speak DTLS" },
	[METRIC_drop_plain_data] = { LOG_INFO_, "forged, or a client without encryption: data needs a handshake first" },
	[METRIC_drop_unexpected] = { LOG_INFO_, "late, forged, or of peers that this server does not know (any more); "
						"nothing to do unless a client of yours cannot connect" },
	[METRIC_drop_no_session] = { LOG_INFO_, "sessions that are over here, by a restart or the idle time-out: their "
						"clients have to connect anew; --idle-timeout says how long one lasts" },
	[METRIC_drop_bad_mac] = { LOG_INFO_, "forged, damaged on the way, or of an older session of that peer; "
					     "the session is not touched" },
	[METRIC_drop_replay] = { LOG_INFO_, "the network delivers twice or very late, or somebody repeats what he has "
					    "heard; the session is not touched" },
	[METRIC_drop_too_large] = { LOG_INFO_, "forged, or of a client that does not keep to RFC 6347: a record holds "
					       "16384 bytes, a handshake message what a certificate chain needs" },
	[METRIC_hello_bad_cookie] = { LOG_INFO_, "guessed, or older than --cookie-lifetime, or from before a restart: "
						 "raise the former, keep --cookie-secret over the latter" },
	[METRIC_backend_down] = { LOG_WARNING_, "all that could serve them are down: a line above names each with its cause; "
						"the sessions stay, and go on when it is back" },
	[METRIC_backend_lost] = { LOG_WARNING_, "the backend reads more slowly than its clients write, or has just gone: raise "
						"net.core.wmem_max, for unix sockets net.unix.max_dgram_qlen" },
	[METRIC_psk_unanswered] = { LOG_WARNING_, "the program at the psk-socket is not there or too slow: see what it says; "
						  "--psk-cache keeps answers for longer" },
	[METRIC_psk_recheck_unanswered] = { LOG_WARNING_, "the program at the psk-socket is not there or too slow: these "
							  "sessions go on, though their keys may be revoked" },
	[METRIC_connect_dropped] = { LOG_WARNING_, "too many came before their handshake was done, or it failed, which a line "
						   "above tells of; the local programs have to say it again" },
	[METRIC_connect_down] = { LOG_WARNING_, "a line above says how the remote server failed; it is tried again within a "
						"minute, and datagrams are carried again as soon as it answers" },
	[METRIC_connect_lost] = { LOG_WARNING_, "the local program reads more slowly than its server answers, or has gone: "
						"raise net.unix.max_dgram_qlen; one that others do without is better given a "
						"listener of its own" },
	[METRIC_exec_lost] = { LOG_WARNING_, "a process says more than the workers of its sessions take: have it say less; "
					     "or clients send empty records, which only exec-mode = service can pass on" },
	[METRIC_limited_memory] = { LOG_WARNING_, "memory ran out: lower --max-sessions and --max-handshakes, or give "
						  "this machine or service more memory" },
	[METRIC_session_closed_seq] = { LOG_NOTICE_, "a session may send 2^48 records: their clients have to connect "
						     "anew" },
};

const char *explain_advice(enum metric which)
{
	return texts[which].advice;
}

bool explain_wanted(const struct explain *x, const struct metrics *m)
{
	return metric_get(m, METRIC_rx_datagrams) != x->told[METRIC_rx_datagrams] ||
	       metric_get(m, METRIC_rx_errors) != x->told[METRIC_rx_errors];
}

void explain_tell(struct explain *x, const struct metrics *m)
{
	static struct log_gate gate[METRIC_COUNT]; /* of all workers: one flood is one flood */

	for (unsigned i = 0; i < METRIC_COUNT; i++) {
		uint64_t now = metric_get(m, (enum metric)i), moved = now - x->told[i];

		if (moved == 0)
			continue;
		x->told[i] = now;
		if (texts[i].advice)
			log_write_limited(&gate[i], texts[i].level, NULL, "%s: %" PRIu64 " %s: %s", metric_name[i],
					  moved, metric_help[i], texts[i].advice);
	}
}
