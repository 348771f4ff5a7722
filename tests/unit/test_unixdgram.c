/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "log.h"
#include "unixdgram.h"

static char dir[] = "/tmp/dtlsd-test-XXXXXX";
static struct metrics metrics;

struct seen {
	unsigned count;
	char name[108];
	size_t name_len, len;
	uint8_t data[64];
	uint32_t unheard;
};

static const char *path_of(const char *name)
{
	static char path[100];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void note(void *ctx, const char *name, size_t name_len, const uint8_t *data, size_t len)
{
	struct seen *s = ctx;

	s->count++;
	s->name_len = name_len;
	memcpy(s->name, name, name_len);
	s->len = len;
	memcpy(s->data, data, len < sizeof(s->data) ? len : sizeof(s->data));
}

static int make(const char *path)
{
	char err[300] = "";
	int fd = unixdgram_open(path, err, sizeof(err));

	if (fd < 0)
		fail_msg("%s", err);
	return fd;
}

static void connect_to(int fd, const char *to)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", to);
	assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
}

/* name NULL: one without a name; the empty one: one that the kernel gives. */
static int make_peer(const char *name, const char *to)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	if (name) {
		socklen_t len = sizeof(un.sun_family);

		if (*name) {
			snprintf(un.sun_path, sizeof(un.sun_path), "%s", name);
			len = sizeof(un);
		}
		assert_int_equal(bind(fd, (struct sockaddr *)&un, len), 0);
	}
	connect_to(fd, to);
	return fd;
}

static void what_comes_is_answered_by_its_name(void **state)
{
	static const char *const names[] = { "/peer", "" };
	char path[100];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s", path_of("here"));
	fd = make(path);
	for (size_t i = 0; i < 2; i++) {
		char name[100], answer[10];
		struct seen s = { .count = 0 };
		uint8_t buffer[64];
		int peer;

		snprintf(name, sizeof(name), "%s%s", *names[i] ? dir : "", names[i]);
		peer = make_peer(name, path);
		assert_int_equal(send(peer, "hello", 5, 0), 5);
		assert_int_equal(send(peer, "", 0, 0), 0);
		assert_int_equal(unixdgram_recv(fd, buffer, sizeof(buffer), 1, &metrics, note, &s), 1);
		assert_int_equal(s.len, 5);
		assert_memory_equal(s.data, "hello", 5);
		assert_int_equal(unixdgram_recv(fd, buffer, sizeof(buffer), 10, &metrics, note, &s), 1);
		assert_int_equal(s.len, 0);
		unixdgram_send(fd, &metrics, s.name, s.name_len, &s.unheard, "hi", 2);
		assert_int_equal(recv(peer, answer, sizeof(answer), 0), 2);
		assert_int_equal(metric_get(&metrics, METRIC_connect_lost), i);
		close(peer);
		unixdgram_send(fd, &metrics, s.name, s.name_len, &s.unheard, "hi", 2);
		assert_int_equal(metric_get(&metrics, METRIC_connect_lost), i + 1);
	}
	unixdgram_close(fd, path);
	assert_int_not_equal(access(path, F_OK), 0);
}

/* unix(7), BUGS: the kernel takes names that fill sun_path, and tells of one byte more than there is. */
static void a_name_without_a_terminator_is_answered(void **state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char path[100], name[sizeof(un.sun_path) + 1], answer[10];
	struct seen s = { .count = 0 };
	uint8_t buffer[64];
	int fd, peer;

	(void)state;
	snprintf(path, sizeof(path), "%s", path_of("here"));
	fd = make(path);
	memset(un.sun_path, 'x', sizeof(un.sun_path));
	memcpy(un.sun_path, dir, strlen(dir));
	un.sun_path[strlen(dir)] = '/';
	peer = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(peer, (struct sockaddr *)&un, sizeof(un)), 0);
	connect_to(peer, path);
	assert_int_equal(send(peer, "hello", 5, 0), 5);
	assert_int_equal(unixdgram_recv(fd, buffer, sizeof(buffer), 10, &metrics, note, &s), 1);
	assert_int_equal(s.name_len, sizeof(un.sun_path));
	unixdgram_send(fd, &metrics, s.name, s.name_len, &s.unheard, "hi", 2);
	assert_int_equal(recv(peer, answer, sizeof(answer), 0), 2);
	close(peer);
	snprintf(name, sizeof(name), "%.*s", (int)sizeof(un.sun_path), un.sun_path);
	assert_int_equal(unlink(name), 0);
	unixdgram_close(fd, path);
}

static void who_has_no_name_is_dropped_and_counted(void **state)
{
	const char *path = path_of("here");
	struct seen s = { .count = 0 };
	uint8_t buffer[10];
	int fd = make(path), peer = make_peer(NULL, path);

	(void)state;
	log_set_level(LOG_ERROR_);
	assert_int_equal(send(peer, "x", 1, 0), 1);
	assert_int_equal(unixdgram_recv(fd, buffer, sizeof(buffer), 10, &metrics, note, &s), 1);
	assert_int_equal(s.count, 0);
	assert_int_equal(metric_get(&metrics, METRIC_connect_dropped), 1);
	close(peer);
	unixdgram_close(fd, path);
}

/* As much as fills our socket may wait for one that has connected its own to it. */
static void who_reads_nothing_leaves_room_for_others(void **state)
{
	const char *path = path_of("here");
	int fd = make(path), deaf = make_peer("", path), peer = make_peer("", path);
	static uint8_t buffer[20000];
	struct seen other = { .count = 0 }, s = { .count = 0 };
	uint64_t lost = metric_get(&metrics, METRIC_connect_lost);

	(void)state;
	assert_int_equal(send(deaf, "x", 1, 0), 1);
	unixdgram_recv(fd, buffer, sizeof(buffer), 1, &metrics, note, &other);
	assert_int_equal(send(peer, "y", 1, 0), 1);
	unixdgram_recv(fd, buffer, sizeof(buffer), 1, &metrics, note, &s);
	while (metric_get(&metrics, METRIC_connect_lost) == lost)
		unixdgram_send(fd, &metrics, other.name, other.name_len, &other.unheard, buffer, 1000);
	for (unsigned i = 0; i < 4; i++) {
		unixdgram_send(fd, &metrics, s.name, s.name_len, &s.unheard, buffer, 16384);
		assert_int_equal(recv(peer, buffer, sizeof(buffer), 0), 16384);
		s.unheard = 0; /* it asks again */
	}
	assert_int_equal(metric_get(&metrics, METRIC_connect_lost), lost + 1);
	while (recv(deaf, buffer, sizeof(buffer), 0) >= 0)
		;
	unixdgram_send(fd, &metrics, other.name, other.name_len, &other.unheard, "read", 4);
	assert_int_equal(recv(deaf, buffer, sizeof(buffer), 0), 4);
	close(deaf);
	close(peer);
	unixdgram_close(fd, path);
}

static void what_is_left_over_is_replaced_and_what_is_in_use_is_not(void **state)
{
	const char *path = path_of("here");
	char err[300];
	int fd = make(path), second;

	(void)state;
	assert_true(unixdgram_open(path, err, sizeof(err)) < 0);
	assert_non_null(strstr(err, "another program has it"));
	close(fd); /* as if it had died */
	second = make(path);
	unixdgram_close(second, path);
}

static void no_file_is_replaced(void **state)
{
	const char *path = path_of("file");
	FILE *f = fopen(path, "w");
	char err[300];

	(void)state;
	assert_non_null(f);
	fclose(f);
	assert_true(unixdgram_open(path, err, sizeof(err)) < 0);
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
	assert_true(unixdgram_open("/nonexistent/x", err, sizeof(err)) < 0);
	assert_non_null(strstr(err, "cannot listen on unix:/nonexistent/x: its directory does not exist"));
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path_of("peer"));
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_comes_is_answered_by_its_name),
		cmocka_unit_test(a_name_without_a_terminator_is_answered),
		cmocka_unit_test(who_has_no_name_is_dropped_and_counted),
		cmocka_unit_test(who_reads_nothing_leaves_room_for_others),
		cmocka_unit_test(what_is_left_over_is_replaced_and_what_is_in_use_is_not),
		cmocka_unit_test(no_file_is_replaced),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
