/* SPDX-License-Identifier: BSD-2-Clause */
/* Real sockets on loopback; a setsockopt of the test's own can refuse the program as an old kernel does. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "steer.h"

#define WORKERS 3
#define PEERS 64
#define WAIT_MS 10000
#define NOWHERE UINT32_MAX

static bool refuse;

int setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
	if (refuse && level == SOL_SOCKET && option == SO_ATTACH_REUSEPORT_CBPF) {
		errno = ENOPROTOOPT;
		return -1;
	}
	return (int)syscall(SYS_setsockopt, fd, level, option, value, len);
}

struct fix {
	struct udp_socket s[2 * WORKERS];
	unsigned workers;
	int peer[PEERS];
	struct udp_rx *rx;
	struct metrics m;
	unsigned seen;
	size_t len;
};

static const char *const loopback[] = { "127.0.0.1:0", "[::1]:0" };

/* false: no such family here */
static bool begin(struct fix *f, const char *address, unsigned workers)
{
	struct sockaddr_storage ss;
	struct addr a;
	socklen_t len;
	char err[256];

	memset(f, 0, sizeof(*f));
	assert_int_equal(addr_parse(address, 0, &a, 1, err, sizeof(err)), 1);
	f->workers = workers;
	if (udp_open(f->s, 2 * workers, &a, 0, 0, 0, err, sizeof(err)) != 0)
		return false;
	f->rx = udp_rx_new();
	assert_non_null(f->rx);
	len = addr_to_sockaddr(&f->s[0].bound, &ss);
	for (unsigned i = 0; i < PEERS; i++) {
		f->peer[i] = socket(a.family, SOCK_DGRAM, 0);
		assert_int_equal(connect(f->peer[i], (struct sockaddr *)&ss, len), 0);
	}
	return true;
}

static void end(struct fix *f)
{
	for (unsigned i = 0; i < 2 * f->workers; i++)
		udp_close(&f->s[i]);
	for (unsigned i = 0; i < PEERS; i++)
		close(f->peer[i]);
	udp_rx_free(f->rx);
}

static void on_datagrams(void *ctx, struct datagram *d, unsigned n)
{
	struct fix *f = ctx;

	f->seen += n;
	f->len = d[n - 1].len;
}

/* Sends a datagram; the index of the socket that it comes to. */
static unsigned goes_to(struct fix *f, unsigned peer, const void *data, size_t len)
{
	struct pollfd p[2 * WORKERS];
	unsigned n = 2 * f->workers, at = NOWHERE;

	for (unsigned i = 0; i < n; i++)
		p[i] = (struct pollfd){ .fd = f->s[i].fd, .events = POLLIN };
	assert_int_equal(send(f->peer[peer], data, len, 0), len);
	assert_int_equal(poll(p, n, WAIT_MS), 1);
	for (unsigned i = 0; i < n; i++)
		if (p[i].revents)
			at = i;
	f->seen = 0;
	assert_int_equal(udp_recv(&f->s[at], f->rx, &f->m, on_datagrams, f), 1);
	assert_int_equal(f->seen, 1);
	assert_int_equal(f->len, len);
	return at;
}

/* type 22, version, epoch 0, sequence, length, message type 1, ... */
static const uint8_t hello[60] = { 22, 254, 255, 0, 0, 0, 0, 0, 0, 0, 7, 0, 47, 1, 0, 0, 35 };

static unsigned with(struct fix *f, unsigned peer, size_t at, uint8_t value)
{
	uint8_t d[sizeof(hello)];

	memcpy(d, hello, sizeof(d));
	d[at] = value;
	return goes_to(f, peer, d, sizeof(d));
}

static void hellos_have_their_lane_and_a_peer_its_worker(void **state)
{
	struct fix f;

	(void)state;
	for (size_t family = 0; family < 2; family++) {
		unsigned used = 0;

		if (!begin(&f, loopback[family], WORKERS))
			continue;
		assert_int_equal(steer_attach(f.s, WORKERS), 0);
		for (unsigned i = 0; i < 2 * WORKERS; i++)
			assert_int_equal(f.s[i].hellos, i >= WORKERS);
		for (unsigned i = 0; i < PEERS; i++) {
			unsigned w = goes_to(&f, i, "x", 1);

			assert_true(w < WORKERS);
			used |= 1U << w;
			assert_int_equal(goes_to(&f, i, hello, sizeof(hello)), w + WORKERS);
			assert_int_equal(with(&f, i, 21, 9), w + WORKERS); /* a fragment that is not the first */
			assert_int_equal(with(&f, i, 0, 23), w); /* data */
			assert_int_equal(with(&f, i, 0, 20), w); /* ChangeCipherSpec */
			assert_int_equal(with(&f, i, 3, 1), w);  /* epoch 256 */
			assert_int_equal(with(&f, i, 4, 1), w);  /* epoch 1 */
			assert_int_equal(with(&f, i, 13, 16), w); /* ClientKeyExchange */
		}
		assert_int_equal(used, (1U << WORKERS) - 1);
		end(&f);
	}
}

static void every_length_has_a_place(void **state)
{
	static uint8_t big[60000];
	struct fix f;

	(void)state;
	for (size_t family = 0; family < 2; family++) {
		unsigned w;

		if (!begin(&f, loopback[family], WORKERS))
			continue;
		assert_int_equal(steer_attach(f.s, WORKERS), 0);
		w = goes_to(&f, 0, "x", 1);
		memcpy(big, hello, sizeof(hello));
		for (size_t len = 0; len <= 20; len++)
			assert_int_equal(goes_to(&f, 0, hello, len), len > 13 ? w + WORKERS : w);
		assert_int_equal(goes_to(&f, 0, big, sizeof(big)), w + WORKERS);
		memset(big, 0xff, sizeof(big));
		assert_int_equal(goes_to(&f, 0, big, sizeof(big)), w);
		end(&f);
	}
}

static void ip_options_do_not_move_a_flow(void **state)
{
	static const uint8_t nop[4] = { 1, 1, 1, 0 };
	struct fix f;

	(void)state;
	assert_true(begin(&f, loopback[0], WORKERS));
	assert_int_equal(steer_attach(f.s, WORKERS), 0);
	for (unsigned i = 0; i < PEERS; i++) {
		unsigned w = goes_to(&f, i, "x", 1);

		assert_int_equal(setsockopt(f.peer[i], IPPROTO_IP, IP_OPTIONS, nop, sizeof(nop)), 0);
		assert_int_equal(goes_to(&f, i, "x", 1), w);
		assert_int_equal(goes_to(&f, i, hello, sizeof(hello)), w + WORKERS);
	}
	end(&f);
}

static void one_worker_has_both_lanes(void **state)
{
	struct fix f;

	(void)state;
	assert_true(begin(&f, loopback[0], 1));
	assert_int_equal(steer_attach(f.s, 1), 0);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(goes_to(&f, i, "x", 1), 0);
		assert_int_equal(goes_to(&f, i, hello, sizeof(hello)), 1);
	}
	end(&f);
}

static void a_kernel_that_refuses_leaves_the_group_as_it_was(void **state)
{
	struct fix f;

	(void)state;
	assert_true(begin(&f, loopback[0], WORKERS));
	refuse = true;
	assert_int_equal(steer_attach(f.s, WORKERS), -ENOPROTOOPT);
	refuse = false;
	for (unsigned i = 0; i < 2 * WORKERS; i++)
		assert_false(f.s[i].hellos);
	for (unsigned i = WORKERS; i < 2 * WORKERS; i++)
		udp_close(&f.s[i]);
	for (unsigned i = 0; i < PEERS; i++) { /* the kernel's own hash, over those that are left */
		struct pollfd p[WORKERS];
		int n;

		for (unsigned k = 0; k < WORKERS; k++)
			p[k] = (struct pollfd){ .fd = f.s[k].fd, .events = POLLIN };
		assert_int_equal(send(f.peer[i], hello, sizeof(hello), 0), sizeof(hello));
		assert_int_equal(poll(p, WORKERS, WAIT_MS), 1);
		for (n = 0; !p[n].revents;)
			n++;
		assert_int_equal(udp_recv(&f.s[n], f.rx, &f.m, on_datagrams, &f), 1);
	}
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hellos_have_their_lane_and_a_peer_its_worker),
		cmocka_unit_test(every_length_has_a_place),
		cmocka_unit_test(ip_options_do_not_move_a_flow),
		cmocka_unit_test(one_worker_has_both_lanes),
		cmocka_unit_test(a_kernel_that_refuses_leaves_the_group_as_it_was),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
