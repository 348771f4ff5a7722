/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

/*
 * stderr is a datagram socket while a test captures: each recv is then one write, so that the number of
 * writes is seen as well as their bytes.
 */
static int old_stderr = -1, capture_fd = -1;
static char line[8192];
static uint64_t mono_s;

static uint64_t fake_mono_ns(void)
{
	return mono_s * 1000000000u;
}

static uint64_t fake_wall_s(void)
{
	return 1795299138; /* 2026-11-21T22:12:18Z */
}

static void capture_begin(void)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv), 0);
	old_stderr = dup(STDERR_FILENO);
	assert_true(old_stderr >= 0);
	assert_int_equal(dup2(sv[0], STDERR_FILENO), STDERR_FILENO);
	close(sv[0]);
	capture_fd = sv[1];
}

static void capture_end(void)
{
	if (capture_fd < 0)
		return;
	assert_int_equal(dup2(old_stderr, STDERR_FILENO), STDERR_FILENO);
	close(old_stderr);
	close(capture_fd);
	capture_fd = -1;
}

static int setup(void **state)
{
	(void)state;
	unsetenv("JOURNAL_STREAM");
	mono_s = 1000;
	clock_inject(fake_mono_ns, fake_wall_s);
	log_open(LOG_TO_STDERR, LOG_NOTICE_, "test");
	capture_begin();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	capture_end();
	clock_inject(NULL, NULL);
	unsetenv("JOURNAL_STREAM");
	return 0;
}

/* The next write, or "" when there was none. */
static const char *next_write(void)
{
	ssize_t n = recv(capture_fd, line, sizeof(line) - 1, MSG_DONTWAIT);

	line[n < 0 ? 0 : n] = '\0';
	return line;
}

static struct flow sample_flow(void)
{
	struct flow f;
	char err[128];

	assert_int_equal(addr_parse("192.0.2.1:5684", 0, &f.peer, 1, err, sizeof(err)), 1);
	assert_int_equal(addr_parse("[::1]:4433", 0, &f.local, 1, err, sizeof(err)), 1);
	return f;
}

static void a_line_has_date_level_peer_and_text(void **state)
{
	struct flow f = sample_flow();

	(void)state;
	log_write(LOG_WARNING_, &f, "text %d", 7);
	assert_string_equal(next_write(), "2026-11-21T22:12:18.000Z warning: peer=192.0.2.1:5684 "
					  "local=[::1]:4433 text 7\n");
	f.local = (struct addr){ 0 };
	log_write(LOG_WARNING_, &f, "unbound");
	assert_string_equal(next_write(), "2026-11-21T22:12:18.000Z warning: peer=192.0.2.1:5684 unbound\n");
	log_error("bare");
	assert_string_equal(next_write(), "2026-11-21T22:12:18.000Z error: bare\n");
	assert_string_equal(next_write(), "");
}

static void levels_above_the_chosen_are_silent(void **state)
{
	(void)state;
	assert_int_equal(log_level(), LOG_NOTICE_);
	log_info("no");
	log_debug("no");
	log_limited(LOG_INFO_, NULL, "no");
	assert_string_equal(next_write(), "");
	log_notice("yes");
	assert_non_null(strstr(next_write(), "notice: yes\n"));
	log_open(LOG_TO_STDERR, LOG_DEBUG_, "test");
	log_debug("yes");
	assert_non_null(strstr(next_write(), "debug: yes\n"));
	log_open(LOG_TO_STDERR, LOG_ERROR_, "test");
	log_warning("no");
	assert_string_equal(next_write(), "");
}

static void untrusted_bytes_are_escaped(void **state)
{
	(void)state;
	log_error("%s", "gr\xc3\xbc\xc3\x9f\n\x1b[31m\xff");
	assert_string_equal(next_write(),
			    "2026-11-21T22:12:18.000Z error: gr\xc3\xbc\xc3\x9f\\x0a\\x1b[31m\\xff\n");
}

static void a_long_line_is_cut_and_still_one_write(void **state)
{
	static char text[20000];
	const char *got;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	log_error("%s", text);
	got = next_write();
	assert_in_range(strlen(got), 3500, 4096); /* PIPE_BUF */
	assert_string_equal(got + strlen(got) - 5, "x...\n");
	assert_string_equal(next_write(), "");
	memset(text, '\n', sizeof(text) - 1); /* grows by four when escaped */
	log_error("%s", text);
	got = next_write();
	assert_in_range(strlen(got), 3500, 4096);
	assert_string_equal(got + strlen(got) - 8, "\\x0a...\n");
}

static void errno_is_kept_and_can_be_named(void **state)
{
	(void)state;
	errno = ENOSPC;
	log_error("disk: %m");
	assert_int_equal(errno, ENOSPC);
	assert_non_null(strstr(next_write(), "disk: No space left on device\n"));
	close(capture_fd); /* a failed write is dropped, and errno kept */
	capture_fd = dup(old_stderr);
	errno = EDOM;
	log_error("lost");
	assert_int_equal(errno, EDOM);
}

static void the_journal_gets_priorities_and_no_date(void **state)
{
	struct stat st;
	char stream[64];

	(void)state;
	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_open(LOG_TO_STDERR, LOG_DEBUG_, "test");
	log_error("a");
	assert_string_equal(next_write(), "<3>error: a\n");
	log_debug("b");
	assert_string_equal(next_write(), "<7>debug: b\n");

	/* the variable is there, but stderr was redirected since */
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino + 1);
	setenv("JOURNAL_STREAM", stream, 1);
	log_open(LOG_TO_STDERR, LOG_DEBUG_, "test");
	log_error("c");
	assert_string_equal(next_write(), "2026-11-21T22:12:18.000Z error: c\n");
}

static void flood(unsigned n, unsigned expect_lines, const char *last_of_first)
{
	unsigned i, lines = 0;

	for (i = 0; i < n; i++) {
		log_limited(LOG_ERROR_, NULL, "flood");
		if (next_write()[0] == '\0')
			continue;
		if (lines++ == 0)
			assert_non_null(strstr(line, last_of_first));
		else
			assert_null(strstr(line, "held back"));
	}
	assert_int_equal(lines, expect_lines);
}

static void a_flood_is_held_back_and_counted(void **state)
{
	(void)state;
	flood(3, 3, "error: flood\n");
	mono_s += LOG_WINDOW_S - 1;
	flood(100, LOG_BURST - 3, "error: flood\n");
	mono_s += 1;
	flood(1, 1, "error: flood (98 more held back)\n");
	flood(LOG_BURST, LOG_BURST - 1, "error: flood\n");
	mono_s += 1000 * LOG_WINDOW_S;
	flood(1, 1, "error: flood (1 more held back)\n");
	mono_s += LOG_WINDOW_S;
	flood(1, 1, "error: flood\n");
}

static unsigned lines_of(struct log_gate *gate, unsigned calls)
{
	unsigned i, lines = 0;

	for (i = 0; i < calls; i++) {
		log_write_limited(gate, LOG_ERROR_, NULL, "text");
		lines += next_write()[0] != '\0';
	}
	return lines;
}

static void a_window_begins_with_its_first_line_and_never_with_an_older_clock(void **state)
{
	struct log_gate gate = { 0 };

	(void)state;
	mono_s = 3; /* just booted */
	assert_int_equal(lines_of(&gate, 10), LOG_BURST);
	mono_s = 3 + LOG_WINDOW_S - 1;
	assert_int_equal(lines_of(&gate, 10), 0);
	mono_s = 3 + LOG_WINDOW_S;
	assert_int_equal(lines_of(&gate, 10), LOG_BURST);
	mono_s -= 1; /* a thread that read the clock before the window was opened */
	assert_int_equal(lines_of(&gate, 10), 0);
}

static void call_sites_are_limited_each_by_itself(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < LOG_BURST + 1; i++) {
		log_limited(LOG_ERROR_, NULL, "one");
		assert_int_equal(next_write()[0] != '\0', i < LOG_BURST);
		log_limited(LOG_ERROR_, NULL, "two");
		assert_int_equal(next_write()[0] != '\0', i < LOG_BURST);
	}
}

static struct log_gate shared_gate;

static void *flood_thread(void *arg)
{
	unsigned i;

	(void)arg;
	for (i = 0; i < 1000; i++)
		log_write_limited(&shared_gate, LOG_ERROR_, NULL, "from a thread");
	return NULL;
}

static void threads_share_the_limit_and_lose_no_count(void **state)
{
	pthread_t thread[4];
	unsigned i, lines = 0;

	(void)state;
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, flood_thread, NULL), 0);
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	while (next_write()[0] != '\0')
		lines++;
	assert_int_equal(lines, LOG_BURST);
	assert_int_equal(atomic_load(&shared_gate.held), 4000 - LOG_BURST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_line_has_date_level_peer_and_text, setup, teardown),
		cmocka_unit_test_setup_teardown(levels_above_the_chosen_are_silent, setup, teardown),
		cmocka_unit_test_setup_teardown(untrusted_bytes_are_escaped, setup, teardown),
		cmocka_unit_test_setup_teardown(a_long_line_is_cut_and_still_one_write, setup, teardown),
		cmocka_unit_test_setup_teardown(errno_is_kept_and_can_be_named, setup, teardown),
		cmocka_unit_test_setup_teardown(the_journal_gets_priorities_and_no_date, setup, teardown),
		cmocka_unit_test_setup_teardown(a_flood_is_held_back_and_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_window_begins_with_its_first_line_and_never_with_an_older_clock, setup, teardown),
		cmocka_unit_test_setup_teardown(call_sites_are_limited_each_by_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(threads_share_the_limit_and_lose_no_count, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
