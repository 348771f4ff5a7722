/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * metrics: counters. One struct metrics per worker, one writer each, relaxed atomics; a reader may
 * add up any number of them at any time. The list below is the only place where a counter is named:
 * logs, the stats command and the manual come from it.
 */
#ifndef DTLSD_METRICS_H
#define DTLSD_METRICS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define METRICS(X)                                                                            \
	X(rx_datagrams, "datagrams received")                                                 \
	X(rx_bytes, "bytes received in datagrams")                                            \
	X(rx_kernel_drops, "datagrams the kernel dropped because the socket buffer was full") \
	X(rx_hello_drops, "hellos the kernel dropped because the buffer of their lane was full") \
	X(rx_errors, "receive calls that failed")                                             \
	X(tx_datagrams, "datagrams handed to the kernel")                                     \
	X(tx_bytes, "bytes sent in datagrams")                                                \
	X(tx_errors, "datagrams that the kernel refused")                                     \
	X(tx_queue_full, "datagrams dropped because the send queue was full")                 \
	X(tx_fragmented, "datagrams over the path MTU, sent with IP fragmentation")           \
	X(drop_malformed, "datagrams or records that are not DTLS, truncated or of lying length") \
	X(drop_plain_data, "application data in epoch 0")                                     \
	X(drop_unexpected, "records nobody waits for: stray alerts, hello fragments, handshake records") \
	X(drop_no_session, "protected records from an unknown peer")                          \
	X(drop_bad_mac, "records that failed authentication")                                 \
	X(drop_replay, "records seen before or too old")                                      \
	X(drop_too_large, "records too large to be legal")                                    \
	X(hello_received, "ClientHello records that reached the cookie gate")                 \
	X(hello_challenged, "HelloVerifyRequests sent")                                       \
	X(hello_bad_cookie, "ClientHellos with a wrong or stale cookie")                      \
	X(hello_admitted, "ClientHellos with a good cookie that began a handshake")           \
	X(hello_queued, "of the good ones, those that waited for a turn (handshake-steps-per-turn)") \
	X(hello_repeated, "copies of an admitted ClientHello")                                \
	X(limited_sessions, "admissions refused by max-sessions")                             \
	X(limited_handshakes, "admissions refused by max-handshakes")                         \
	X(limited_address, "admissions refused by max-sessions-per-address")                  \
	X(limited_address_handshakes, "admissions refused by max-handshakes-per-address")     \
	X(limited_turn, "admissions refused because too many hellos waited for a turn")      \
	X(limited_rate, "admissions refused by handshake-rate")                               \
	X(limited_memory, "peers refused and records dropped because memory ran out")         \
	X(handshake_done, "handshakes finished")                                              \
	X(handshake_resumed, "of these, resumed")                                             \
	X(handshake_queued, "times that a handshake waited for a turn (handshake-steps-per-turn)") \
	X(handshake_evicted, "half-open handshakes given up for newer ones: max-handshakes")   \
	X(handshake_replaced, "handshakes given up because their peer began anew")            \
	X(handshake_drained, "handshakes given up by shutdown")                               \
	X(handshake_failed, "handshakes failed")                                              \
	X(handshake_timeout, "of these, timed out")                                           \
	X(flight_resent, "handshake flights sent again")                                      \
	X(final_flight_resent, "final flights sent again after the handshake")                \
	X(session_opened, "sessions opened")                                                  \
	X(session_closed_peer, "sessions that the peer closed")                               \
	X(session_closed_local, "sessions that the handler or an error closed")               \
	X(session_closed_idle, "sessions closed by the idle time-out")                        \
	X(session_closed_replaced, "sessions replaced when their peer restarted")             \
	X(session_closed_drain, "sessions closed by shutdown")                                \
	X(session_closed_denied, "sessions refused by a route that denies their clients")     \
	X(session_closed_revoked, "sessions closed because a reload took away what their clients came in with") \
	X(session_closed_seq, "sessions closed before their sequence numbers ran out")        \
	X(renegotiation_refused, "requests for renegotiation refused")                        \
	X(records_in, "application records received")                                         \
	X(records_out, "application records sent")                                            \
	X(bytes_in, "application bytes received")                                             \
	X(bytes_out, "application bytes sent")                                                \
	X(send_too_large, "messages from a handler that were too large for a record")         \
	X(backend_out, "datagrams handed to backends, processes and psk-sockets") \
	X(backend_in, "datagrams from backends, processes and psk-sockets") \
	X(backend_down, "records dropped because their backend was down")                     \
	X(backend_lost, "records that the kernel did not take for their backend or process") \
	X(backend_moved, "sessions that went to another backend because theirs was down")     \
	X(limited_sockets, "sessions refused for want of a socket to a backend")              \
	X(limited_ports, "sessions refused because no local port was left for their socket to a backend") \
	X(psk_asked, "pre-shared keys asked for at a psk-socket")                             \
	X(psk_remembered, "of those that were wanted, not asked for as an answer was remembered") \
	X(psk_unanswered, "handshakes that failed because a psk-socket did not answer")       \
	X(psk_recheck_unanswered, "times that a psk-socket did not answer about a session of before a reload") \
	X(connect_peers, "local peers that connect services took on")                         \
	X(connect_done, "handshakes with remote servers finished")                            \
	X(connect_resumed, "of these handshakes, resumed")                                    \
	X(connect_failed, "handshakes with remote servers failed")                            \
	X(connect_timeout, "of these failures, time-outs")                                    \
	X(connect_renewed, "sessions made anew because their remote server was silent or refused") \
	X(connect_closed_peer, "sessions that the remote server closed")                      \
	X(connect_closed_idle, "local peers let go by the idle time-out")                     \
	X(connect_out, "datagrams of local peers carried to remote servers")                  \
	X(connect_in, "datagrams of remote servers carried to local peers")                   \
	X(connect_held, "datagrams of local peers held until a handshake was done")           \
	X(connect_dropped, "datagrams of local peers dropped: too many waited, or the handshake failed") \
	X(connect_down, "datagrams of local peers dropped because the remote server had just failed") \
	X(connect_too_large, "datagrams of local peers that were too large for a record")     \
	X(connect_lost, "datagrams that the socket of a local peer did not take")             \
	X(limited_connect, "local peers refused by the limits of their connect service")      \
	X(limited_processes, "sessions refused for want of a process (exec-processes, exec-rate)") \
	X(exec_started, "processes started")                                                  \
	X(exec_restarted, "times that the process of a whole service was started again")      \
	X(exec_failed, "times that a process could not be started")                           \
	X(exec_killed, "processes that had to be killed at their end")                        \
	X(exec_malformed, "datagrams of processes of whole services without a good header")   \
	X(exec_lost, "records and answers that could not be handed to or from a process")     \
	X(aead_set_up, "AEAD handles keyed: misses of the cache of hot sessions")

enum metric {
#define X(name, help) METRIC_##name,
	METRICS(X)
#undef X
	METRIC_COUNT
};

struct metrics {
	_Atomic uint64_t value[METRIC_COUNT];
};

static inline void metric_add(struct metrics *m, enum metric which, uint64_t n)
{
	/* one writer: a plain load and store, no locked instruction */
	uint64_t v = atomic_load_explicit(&m->value[which], memory_order_relaxed);

	atomic_store_explicit(&m->value[which], v + n, memory_order_relaxed);
}
#define metric_inc(m, which) metric_add(m, which, 1)

static inline uint64_t metric_get(const struct metrics *m, enum metric which)
{
	return atomic_load_explicit(&m->value[which], memory_order_relaxed);
}

extern const char *const metric_name[METRIC_COUNT];
extern const char *const metric_help[METRIC_COUNT];

/*
 * "name=value name=value ..." of the non-zero ones. Always NUL-terminated; what does not fit is left out,
 * from the first counter that does not fit on. The length.
 */
size_t metrics_format(const struct metrics *m, char *buf, size_t size);

#endif
