/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exec.h"
#include "keeper.h"
#include "spawner.h"

static struct crew *crew;
static char err[512];

static struct exec *make(const char *command, const char *environment, bool shared)
{
	const struct exec_options o = { .service = "test", .command = command, .environment = environment,
					.grace_s = 1, .shared = shared, .dashes = "" };

	return exec_new(&o, crew, err, sizeof(err));
}

static void make_or_die(struct exec **x, const char *command, const char *environment)
{
	*x = make(command, environment, false);
	if (!*x)
		fail_msg("%s", err);
}

/* What the process says until its end. */
static void read_all(int fd, char *out, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while (len + 1 < size && (n = recv(fd, out + len, size - 1 - len, 0)) > 0)
		len += (size_t)n;
	out[len] = '\0';
	close(fd);
}

static void what_is_equal_goes_on_and_what_differs_does_not(void **state)
{
	static const char *const other[][2] = { { "/bin/cat -u", "A=1" }, { "/bin/cat", "A=2" }, { "/bin/cat", NULL } };
	struct exec *x, *y;

	(void)state;
	make_or_die(&x, "/bin/cat", "A=1");
	make_or_die(&y, "\"/bin/cat\"", "A=1");
	assert_true(exec_same(x, y));
	exec_unref(y);
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		make_or_die(&y, other[i][0], other[i][1]);
		assert_false(exec_same(x, y));
		exec_unref(y);
	}
	y = make("/bin/cat", "A=1", true);
	assert_non_null(y);
	assert_false(exec_same(x, y));
	exec_unref(y);
	exec_unref(x);
}

static void a_process_has_its_words_and_environment(void **state)
{
	static const char about[] = "DTLSD_PEER=me\0DTLSD_SNI=you";
	char text[500];
	struct exec *x;
	int fd;

	(void)state;
	make_or_die(&x, "/usr/bin/env", "A=\"b c\"");
	fd = exec_start(x, (struct spawner_text){ about, sizeof(about) }, 2, 0);
	assert_true(fd >= 0);
	read_all(fd, text, sizeof(text));
	assert_string_equal(text, "A=b c\nPATH=/usr/local/bin:/usr/bin:/bin\nDTLSD_SERVICE=test\n"
			    "DTLSD_PEER=me\nDTLSD_SNI=you\n");
	exec_unref(x);
}

static void await_live(unsigned want)
{
	while (crew_live(crew) != want)
		poll(NULL, 0, 5);
}

static void no_more_are_started_than_may_be(void **state)
{
	struct exec *x;
	int a, b;

	(void)state;
	make_or_die(&x, "/bin/cat", NULL);
	await_live(0);
	crew_set_limits(crew, 2, 0);
	a = exec_start(x, (struct spawner_text){ NULL, 0 }, 0, 0);
	b = exec_start(x, (struct spawner_text){ NULL, 0 }, 0, 0);
	assert_true(a >= 0 && b >= 0);
	assert_int_equal(exec_start(x, (struct spawner_text){ NULL, 0 }, 0, 0), -EDQUOT);
	close(a); /* cat reads the end of its input, and is gone */
	await_live(1);
	crew_set_limits(crew, 2, 1);
	a = exec_start(x, (struct spawner_text){ NULL, 0 }, 0, 1000000);
	assert_true(a >= 0);
	close(a);
	await_live(1);
	assert_int_equal(exec_start(x, (struct spawner_text){ NULL, 0 }, 0, 1000001), -EBUSY);
	assert_int_equal(crew_live(crew), 1);
	close(b);
	await_live(0);
	crew_set_limits(crew, 100, 0);
	exec_unref(x);
}

static void a_channel_is_one_until_it_is_shut_down_and_one_reads_it(void **state)
{
	struct exec *x = make("/bin/cat", NULL, true);
	uint64_t first, again;
	char byte;
	int fd;

	(void)state;
	assert_non_null(x);
	assert_int_equal(exec_channel(x, 0, &first), 0);
	assert_int_equal(exec_channel(x, 0, &again), 0);
	assert_int_equal(again, first);
	assert_true(exec_claim(x, first));
	assert_false(exec_claim(x, first));
	fd = exec_copy_channel(x, first);
	assert_true(fd >= 0);
	assert_int_equal(send(fd, "x", 1, 0), 1);
	assert_int_equal(recv(fd, &byte, 1, 0), 1);
	assert_int_equal(byte, 'x');
	shutdown(fd, SHUT_RDWR);
	close(fd);
	assert_int_equal(exec_channel(x, 0, &again), 0);
	assert_int_not_equal(again, first);
	assert_false(exec_claim(x, first));
	assert_int_equal(exec_copy_channel(x, first), -ESTALE); /* its descriptor is another socket's */
	assert_true(exec_claim(x, again));
	exec_unref(x);
	await_live(0);
}

static uint64_t count_started(void)
{
	struct metrics sum;

	memset(&sum, 0, sizeof(sum));
	spawner_add_counts(&sum);
	return metric_get(&sum, METRIC_exec_started);
}

static void with_the_keeper_its_processes_go_and_the_next_starts_others(void **state)
{
	uint64_t before = count_started();
	char text[100], byte;
	struct exec *x;
	int fd;

	(void)state;
	make_or_die(&x, "/bin/cat", NULL);
	fd = exec_start(x, (struct spawner_text){ NULL, 0 }, 0, 0);
	assert_true(fd >= 0);
	assert_int_equal(send(fd, "x", 1, 0), 1);
	assert_int_equal(recv(fd, &byte, 1, 0), 1); /* it runs */
	kill(spawner_pid(), SIGKILL);
	assert_int_equal(waitpid(spawner_pid(), NULL, 0), spawner_pid());
	spawner_lost();
	read_all(fd, text, sizeof(text)); /* to its end */
	assert_int_equal(spawner_fd(), -1);
	assert_int_equal(crew_live(crew), 0);
	assert_int_equal(exec_start(x, (struct spawner_text){ NULL, 0 }, 0, 0), -ENOTCONN);
	assert_int_equal(crew_live(crew), 0);
	assert_int_equal(spawner_begin(false), 0);
	fd = exec_start(x, (struct spawner_text){ NULL, 0 }, 0, 0);
	assert_true(fd >= 0);
	assert_int_equal(crew_live(crew), 1);
	close(fd);
	await_live(0);
	assert_int_equal(count_started(), before + 2);
	exec_unref(x);
}

static int begin(void **state)
{
	(void)state;
	crew = spawner_begin(false) == 0 ? crew_new() : NULL;
	if (!crew)
		return -1;
	crew_set_limits(crew, 100, 0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	crew_unref(crew);
	spawner_end(1000);
	assert_int_equal(spawner_fd(), -1);
	return 0;
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_equal_goes_on_and_what_differs_does_not),
		cmocka_unit_test(a_process_has_its_words_and_environment),
		cmocka_unit_test(no_more_are_started_than_may_be),
		cmocka_unit_test(a_channel_is_one_until_it_is_shut_down_and_one_reads_it),
		cmocka_unit_test(with_the_keeper_its_processes_go_and_the_next_starts_others),
	};

	keeper_main(argc, argv);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, begin, end);
}
