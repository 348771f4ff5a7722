/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "upstream.h"

#define SIZES 13
#define A_TIME 8 /* net.unix.max_dgram_qlen may be as low as 10 */
#define MANY 600 /* more than the queue holds */
#define SLOW 100

/* One session's end, and what it was told. */
struct end {
	struct upstream_socket socket; /* first */
	struct upstream *closes;       /* at the first reply */
	unsigned replies, refusals, ends;
	size_t last;
	int err;
};

static struct upstream_limit limit;
static struct metrics metrics;
static struct upstream *u;
static int server = -1;
static struct backend_addr to;
static struct sources sources; /* none: where the system likes */

static void on_reply(struct upstream_socket *s, uint8_t *data, size_t len)
{
	struct end *e = (struct end *)(void *)s;

	(void)data;
	e->replies++;
	e->last = len;
	if (e->closes)
		upstream_close(e->closes, s);
}

static void on_refused(struct upstream_socket *s, int err)
{
	struct end *e = (struct end *)(void *)s;

	e->refusals++;
	e->err = err;
}

static void on_ended(struct upstream_socket *s)
{
	struct end *e = (struct end *)(void *)s;

	e->ends++;
	upstream_close(u, s);
}

static const struct upstream_owner owner = { .reply = on_reply, .refused = on_refused, .ended = on_ended };

/*
 * A server on the loopback, IPv4 or a unix socket without a name in the file system. At 127.0.0.1 it might hear what is
 * for who had its port before, or leave it to others when it ends.
 */
static void serve(bool unix_socket)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	memset(&to, 0, sizeof(to));
	if (unix_socket) {
		struct sockaddr_un any = { .sun_family = AF_UNIX };

		server = socket(AF_UNIX, SOCK_DGRAM, 0);
		assert_int_equal(bind(server, (struct sockaddr *)&any, sizeof(any.sun_family)), 0);
		assert_int_equal(getsockname(server, (struct sockaddr *)&any, &len), 0);
		to.path[0] = '@';
		memcpy(to.path + 1, any.sun_path + 1, len - offsetof(struct sockaddr_un, sun_path) - 1);
		return;
	}
	server = socket(AF_INET, SOCK_DGRAM, 0);
	memset(&ss, 0, sizeof(ss));
	ss.ss_family = AF_INET;
	((struct sockaddr_in *)&ss)->sin_addr.s_addr = htonl(INADDR_LOOPBACK + (77 << 16));
	assert_int_equal(bind(server, (struct sockaddr *)&ss, sizeof(struct sockaddr_in)), 0);
	assert_int_equal(getsockname(server, (struct sockaddr *)&ss, &len), 0);
	assert_int_equal(addr_from_sockaddr(&to.addr, (struct sockaddr *)&ss, len), 0);
}

static int set_up(void **state)
{
	(void)state;
	memset(&metrics, 0, sizeof(metrics));
	atomic_store(&limit.open, 0);
	atomic_store(&limit.most, 100);
	u = upstream_new(&limit);
	assert_non_null(u);
	upstream_count(u, &metrics);
	sources.count = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(atomic_load(&limit.open), 0);
	upstream_free(u);
	if (server >= 0)
		close(server);
	server = -1;
	return 0;
}

static uint64_t count(enum metric m)
{
	return metric_get(&metrics, m);
}

static void open_end(struct end *e)
{
	memset(e, 0, sizeof(*e));
	assert_int_equal(upstream_open(u, &e->socket, &to, &sources, &owner), 0);
}

/* The far end of an adopted pair. */
static int adopt(struct end *e, bool deaf)
{
	int ends[2];

	memset(e, 0, sizeof(*e));
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(upstream_adopt(u, &e->socket, ends[0], deaf, &owner), 0);
	return ends[1];
}

/* What the server gets next, and from whom. */
static ssize_t server_gets(uint8_t *buf, size_t size, struct sockaddr_storage *from, socklen_t *from_len)
{
	struct pollfd p = { .fd = server, .events = POLLIN };

	assert_int_equal(poll(&p, 1, 20000), 1);
	*from_len = sizeof(*from);
	return recvfrom(server, buf, size, 0, (struct sockaddr *)from, from_len);
}

static void run_until_ready(void)
{
	struct pollfd p = { .fd = upstream_fd(u), .events = POLLIN };

	assert_int_equal(poll(&p, 1, 20000), 1);
	upstream_run(u);
}

static void datagrams_of_all_lengths_keep_their_boundaries(bool unix_socket)
{
	static uint8_t data[20000], got[20001];
	static const size_t sizes[SIZES] = { 5, 5, 5, 3, 5, 0, 0, 900, 900, 1, 17000, 17000, 40 };
	struct sockaddr_storage from;
	socklen_t len;
	struct end e;
	unsigned seed = 3;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)rand_r(&seed);
	serve(unix_socket);
	open_end(&e);
	for (size_t from_i = 0; from_i < SIZES; from_i += A_TIME) {
		for (size_t i = from_i; i < SIZES && i < from_i + A_TIME; i++)
			upstream_send(u, &e.socket, data + 19000, i % 3, data + i, sizes[i]);
		upstream_flush(u);
		for (size_t i = from_i; i < SIZES && i < from_i + A_TIME; i++) {
			assert_int_equal(server_gets(got, sizeof(got), &from, &len), i % 3 + sizes[i]);
			assert_memory_equal(got, data + 19000, i % 3);
			assert_memory_equal(got + i % 3, data + i, sizes[i]);
		}
	}
	assert_int_equal(count(METRIC_backend_out), SIZES);
	assert_int_equal(count(METRIC_backend_lost), 0);
	upstream_close(u, &e.socket);
}

static void udp_datagrams_keep_their_boundaries(void **state)
{
	(void)state;
	datagrams_of_all_lengths_keep_their_boundaries(false);
}

static void unix_datagrams_keep_their_boundaries(void **state)
{
	(void)state;
	datagrams_of_all_lengths_keep_their_boundaries(true);
}

static void each_socket_gets_its_own_replies(void **state)
{
	struct sockaddr_storage from;
	struct end e[8];
	uint8_t buf[100];
	socklen_t len;

	for (unsigned kind = 0; kind < 2; kind++) {
		serve(kind == 1);
		for (unsigned i = 0; i < 8; i++) {
			open_end(&e[i]);
			upstream_send(u, &e[i].socket, NULL, 0, buf, i);
		}
		upstream_flush(u);
		for (unsigned i = 0; i < 8; i++) {
			ssize_t n = server_gets(buf, sizeof(buf), &from, &len);

			assert_int_equal(sendto(server, buf, (size_t)n + 10, 0, (struct sockaddr *)&from, len), n + 10);
		}
		for (unsigned i = 0; i < 8; i++) {
			while (e[i].replies == 0)
				run_until_ready();
			assert_int_equal(e[i].last, i + 10);
			assert_int_equal(e[i].replies, 1);
		}
		for (unsigned i = 0; i < 8; i++)
			upstream_close(u, &e[i].socket);
		tear_down(state);
		set_up(state);
	}
}

static void a_reply_may_close_its_socket(void **state)
{
	struct sockaddr_storage from;
	uint8_t buf[100];
	socklen_t len;
	struct end e;

	(void)state;
	serve(false);
	open_end(&e);
	e.closes = u;
	upstream_send(u, &e.socket, NULL, 0, "x", 1);
	upstream_flush(u);
	server_gets(buf, sizeof(buf), &from, &len);
	for (unsigned i = 0; i < 5; i++)
		sendto(server, "yz", 2, 0, (struct sockaddr *)&from, len);
	run_until_ready();
	assert_int_equal(e.replies, 1);
	assert_int_equal(e.socket.fd, -1);
}

static void what_is_queued_leaves_before_the_socket_is_closed(void **state)
{
	struct sockaddr_storage from;
	uint8_t buf[100];
	socklen_t len;
	struct end e;

	(void)state;
	serve(false);
	open_end(&e);
	upstream_send(u, &e.socket, NULL, 0, "last words", 10);
	upstream_close(u, &e.socket);
	assert_int_equal(server_gets(buf, sizeof(buf), &from, &len), 10);
}

static void more_than_the_queue_holds_leaves_in_order(void **state)
{
	uint32_t got, next = 0;
	struct end e;

	(void)state;
	serve(false);
	open_end(&e);
	for (uint32_t i = 0; i < MANY; i++)
		upstream_send(u, &e.socket, NULL, 0, &i, sizeof(i));
	assert_in_range(count(METRIC_backend_out), 1, MANY - 1);
	upstream_flush(u);
	assert_int_equal(count(METRIC_backend_out), MANY);
	/* the server's buffer need not hold them all */
	while (recv(server, &got, sizeof(got), MSG_DONTWAIT) == sizeof(got)) {
		assert_in_range(got, next, MANY - 1);
		next = got + 1;
	}
	assert_in_range(next, 10, MANY);
	upstream_close(u, &e.socket);
}

/* So many that they fit neither into the backend's queue, where net.unix.max_dgram_qlen is low, nor leave at once. */
static void a_unix_backend_that_reads_slowly_gets_all_in_order(void **state)
{
	struct sockaddr_storage from;
	struct end e, other;
	uint32_t got;
	socklen_t len;

	(void)state;
	serve(true);
	open_end(&e);
	open_end(&other);
	for (uint32_t i = 0; i < SLOW; i++)
		upstream_send(u, &e.socket, NULL, 0, &i, sizeof(i));
	for (uint32_t i = 0; i < SLOW; i++) {
		upstream_flush(u);
		assert_int_equal(server_gets((uint8_t *)&got, sizeof(got), &from, &len), sizeof(got));
		assert_int_equal(got, i);
		upstream_run(u);
	}
	assert_int_equal(e.socket.queued, 0);
	assert_int_equal(count(METRIC_backend_out), SLOW);
	assert_int_equal(count(METRIC_backend_lost), 0);
	upstream_close(u, &e.socket);
	upstream_close(u, &other.socket);
}

static void a_unix_backend_that_reads_nothing_holds_up_nobody(void **state)
{
	struct backend_addr deaf;
	struct end e[3], udp;
	int deaf_server;

	(void)state;
	serve(true);
	deaf = to;
	deaf_server = server;
	for (unsigned i = 0; i < 3; i++) {
		memset(&e[i], 0, sizeof(e[i]));
		assert_int_equal(upstream_open(u, &e[i].socket, &deaf, &sources, &owner), 0);
	}
	serve(false);
	open_end(&udp);
	for (unsigned n = 0; n < 3 * MANY; n++) {
		upstream_send(u, &e[n % 3].socket, NULL, 0, "deaf", 4);
		if (n % 100 == 0) {
			struct sockaddr_storage from;
			uint8_t buf[10];
			socklen_t len;

			upstream_send(u, &udp.socket, NULL, 0, "hear", 4);
			upstream_flush(u);
			assert_int_equal(server_gets(buf, sizeof(buf), &from, &len), 4);
		}
	}
	upstream_flush(u);
	for (unsigned i = 0; i < 3; i++)
		upstream_close(u, &e[i].socket);
	upstream_close(u, &udp.socket);
	/* nothing is counted twice, or not at all */
	assert_int_equal(count(METRIC_backend_out) + count(METRIC_backend_lost), 3 * MANY + 3 * MANY / 100);
	assert_int_not_equal(count(METRIC_backend_lost), 0);
	close(deaf_server);
}

/* The pairs of programs that take nothing, and the queue full of what is for them. */
static void those_that_read_nothing_leave_the_others_their_share(void **state)
{
	struct end deaf[20], e;
	int far[20];
	struct sockaddr_storage from;
	int few = 4096;
	socklen_t len;
	uint32_t got;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		far[i] = adopt(&deaf[i], false);
		assert_int_equal(setsockopt(deaf[i].socket.fd, SOL_SOCKET, SO_SNDBUF, &few, sizeof(few)), 0);
		for (unsigned n = 0; n < 2 * MANY; n++)
			upstream_send(u, &deaf[i].socket, NULL, 0, "which takes long to read and fills the queue", 44);
		upstream_flush(u);
		assert_true(deaf[i].socket.blocked);
	}
	serve(true);
	open_end(&e);
	for (uint32_t i = 0; i < 20; i++)
		upstream_send(u, &e.socket, NULL, 0, &i, sizeof(i));
	for (uint32_t i = 0; i < 20; i++) {
		upstream_flush(u);
		assert_int_equal(server_gets((uint8_t *)&got, sizeof(got), &from, &len), sizeof(got));
		assert_int_equal(got, i);
		upstream_run(u);
	}
	upstream_close(u, &e.socket);
	for (unsigned i = 0; i < 20; i++) {
		assert_in_range(deaf[i].socket.queued, 1, MANY / 20);
		upstream_close(u, &deaf[i].socket);
		close(far[i]);
	}
}

static void a_backend_that_is_not_there_is_told_and_what_is_lost_is_counted(void **state)
{
	struct end e;

	(void)state;
	serve(true);
	close(server);
	server = -1;
	open_end(&e);
	assert_int_equal(e.refusals, 1);
	assert_int_equal(e.err, ECONNREFUSED);
	upstream_send(u, &e.socket, NULL, 0, "a", 1);
	upstream_send(u, &e.socket, NULL, 0, "b", 1);
	upstream_flush(u);
	assert_int_equal(e.refusals, 2);
	assert_int_equal(count(METRIC_backend_lost), 2);
	upstream_close(u, &e.socket);
}

static void an_icmp_refusal_is_told(void **state)
{
	struct end e;

	(void)state;
	serve(false);
	close(server);
	server = -1;
	open_end(&e);
	assert_int_equal(e.refusals, 0);
	upstream_send(u, &e.socket, NULL, 0, "a", 1);
	upstream_flush(u);
	run_until_ready();
	assert_int_equal(e.refusals, 1);
	assert_int_equal(e.err, ECONNREFUSED);
	upstream_close(u, &e.socket);
}

static void the_limit_refuses_the_next_and_no_other(void **state)
{
	struct end e[3], more;

	(void)state;
	serve(false);
	atomic_store(&limit.most, 3);
	for (unsigned i = 0; i < 3; i++)
		open_end(&e[i]);
	assert_int_equal(upstream_open(u, &more.socket, &to, &sources, &owner), -EDQUOT);
	upstream_close(u, &e[1].socket);
	assert_int_equal(upstream_open(u, &more.socket, &to, &sources, &owner), 0);
	upstream_close(u, &e[0].socket);
	upstream_close(u, &e[2].socket);
	upstream_close(u, &more.socket);
}

static void each_source_has_its_turn(void **state)
{
	static const uint8_t last[] = { 2, 3, 2, 3 };
	struct end e[4];

	(void)state;
	serve(false);
	sources.count = 3; /* one of them of another family */
	for (unsigned i = 0; i < 3; i++)
		sources.addr[i] = (struct addr){ .family = AF_INET, .ip = { [10] = 0xff, 0xff, 127, 0, 0, (uint8_t)(i + 2) } };
	sources.addr[2] = (struct addr){ .family = AF_INET6, .ip = { [15] = 1 } };
	for (unsigned i = 0; i < 4; i++) {
		struct sockaddr_in own;
		socklen_t len = sizeof(own);

		open_end(&e[i]);
		assert_int_equal(getsockname(e[i].socket.fd, (struct sockaddr *)&own, &len), 0);
		assert_int_equal(ntohl(own.sin_addr.s_addr), 0x7f000000 + last[i]);
	}
	for (unsigned i = 0; i < 4; i++)
		upstream_close(u, &e[i].socket);
}

static void a_source_of_another_machine_is_told(void **state)
{
	struct end e;

	(void)state;
	serve(false);
	sources.count = 1;
	assert_int_equal(addr_parse("192.0.2.77", 0, &sources.addr[0], 1, (char[100]){ 0 }, 100), 1);
	assert_int_equal(upstream_open(u, &e.socket, &to, &sources, &owner), -ENXIO);
	assert_int_equal(upstream_try_source(&sources.addr[0]), -ENXIO);
	assert_int_equal(addr_parse("127.0.0.9", 0, &sources.addr[0], 1, (char[100]){ 0 }, 100), 1);
	assert_int_equal(upstream_try_source(&sources.addr[0]), 0);
}

static void of_a_pair_all_is_read_before_its_end_and_an_empty_datagram_is_none(void **state)
{
	struct end e;
	char buffer[10];
	int far = adopt(&e, false);

	(void)state;
	upstream_send(u, &e.socket, "ab", 2, "cd", 2);
	upstream_flush(u);
	assert_int_equal(recv(far, buffer, sizeof(buffer), 0), 4);
	assert_int_equal(send(far, "", 0, 0), 0);
	upstream_run(u);
	assert_int_equal(e.replies, 1);
	assert_int_equal(e.ends, 0);
	assert_int_equal(send(far, "last", 4, 0), 4);
	close(far);
	for (int i = 0; i < 3; i++)
		upstream_run(u);
	assert_int_equal(e.replies, 2);
	assert_int_equal(e.last, 4);
	assert_int_equal(e.ends, 1);
	assert_int_equal(atomic_load(&limit.open), 0);
}

static void of_a_pair_what_follows_empty_datagrams_is_read_before_its_end(void **state)
{
	(void)state;
	for (unsigned empty = 1; empty <= 40; empty++) {
		struct end e;
		int far = adopt(&e, false);

		for (unsigned i = 0; i < empty; i++)
			assert_int_equal(send(far, "", 0, 0), 0);
		assert_int_equal(send(far, "last", 4, 0), 4);
		close(far);
		for (unsigned i = 0; i < 5; i++)
			upstream_run(u);
		assert_int_equal(e.replies, empty + 1);
		assert_int_equal(e.last, 4);
		assert_int_equal(e.ends, 1);
	}
}

static void who_is_deaf_leaves_what_comes_and_hears_of_the_end(void **state)
{
	struct end reads, writes;
	char buffer[10];
	int far = adopt(&reads, false);

	(void)state;
	memset(&writes, 0, sizeof(writes));
	assert_int_equal(upstream_adopt(u, &writes.socket, dup(reads.socket.fd), true, &owner), 0);
	assert_int_equal(send(far, "x", 1, 0), 1);
	upstream_run(u);
	assert_int_equal(reads.replies, 1);
	assert_int_equal(writes.replies, 0);
	upstream_send(u, &writes.socket, NULL, 0, "y", 1);
	upstream_flush(u);
	assert_int_equal(recv(far, buffer, sizeof(buffer), 0), 1);
	close(far);
	for (int i = 0; i < 3; i++)
		upstream_run(u);
	assert_int_equal(reads.ends, 1);
	assert_int_equal(writes.ends, 1);
	assert_int_equal(atomic_load(&limit.open), 0);
}

static void who_listens_hears_what_came_while_it_was_deaf(void **state)
{
	struct end e;
	int far = adopt(&e, true);

	(void)state;
	assert_int_equal(send(far, "x", 1, 0), 1);
	upstream_run(u);
	assert_int_equal(e.replies, 0);
	upstream_listen(u, &e.socket);
	upstream_run(u);
	assert_int_equal(e.replies, 1);
	close(far);
	upstream_run(u);
	assert_int_equal(e.ends, 1);
	assert_int_equal(atomic_load(&limit.open), 0);
}

static void who_does_not_read_has_a_bounded_number_waiting(void **state)
{
	struct end e;
	int far = adopt(&e, false);
	uint64_t lost;

	(void)state;
	lost = metric_get(&metrics, METRIC_backend_lost);
	for (int i = 0; i < 4 * MANY; i++)
		upstream_send(u, &e.socket, NULL, 0, "datagram", 8);
	upstream_flush(u);
	assert_true(metric_get(&metrics, METRIC_backend_lost) > lost);
	close(far);
	upstream_close(u, &e.socket);
	assert_int_equal(atomic_load(&limit.open), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		TEST(udp_datagrams_keep_their_boundaries),
		TEST(unix_datagrams_keep_their_boundaries),
		TEST(each_socket_gets_its_own_replies),
		TEST(a_reply_may_close_its_socket),
		TEST(what_is_queued_leaves_before_the_socket_is_closed),
		TEST(more_than_the_queue_holds_leaves_in_order),
		TEST(a_unix_backend_that_reads_slowly_gets_all_in_order),
		TEST(a_unix_backend_that_reads_nothing_holds_up_nobody),
		TEST(those_that_read_nothing_leave_the_others_their_share),
		TEST(a_backend_that_is_not_there_is_told_and_what_is_lost_is_counted),
		TEST(an_icmp_refusal_is_told),
		TEST(the_limit_refuses_the_next_and_no_other),
		TEST(each_source_has_its_turn),
		TEST(a_source_of_another_machine_is_told),
		TEST(of_a_pair_all_is_read_before_its_end_and_an_empty_datagram_is_none),
		TEST(of_a_pair_what_follows_empty_datagrams_is_read_before_its_end),
		TEST(who_is_deaf_leaves_what_comes_and_hears_of_the_end),
		TEST(who_listens_hears_what_came_while_it_was_deaf),
		TEST(who_does_not_read_has_a_bounded_number_waiting),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
