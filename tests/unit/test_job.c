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

#include <signal.h>

#include "job.h"

static const char texts[] = "coap\0/srv\0/bin/x\0-a\0A=1\0B=";

/* A job of two words and two of environment; its length. */
static size_t write_job(char out[static 200])
{
	const struct job_head head = { .kind = JOB_START, .words = 2, .env = 2, .group = 3, .grace_ms = 5 };

	memcpy(out, &head, sizeof(head));
	memcpy(out + sizeof(head), texts, sizeof(texts));
	return sizeof(head) + sizeof(texts);
}

static void a_job_is_ready_to_be_run(void **state)
{
	char data[200];
	size_t len = write_job(data);
	struct job j;

	(void)state;
	assert_true(job_read(&j, data, len));
	assert_int_equal(j.head.grace_ms, 5);
	assert_string_equal(j.service, "coap");
	assert_string_equal(j.directory, "/srv");
	assert_string_equal(j.argv[0], "/bin/x");
	assert_string_equal(j.argv[1], "-a");
	assert_null(j.argv[2]);
	assert_string_equal(j.env[0], "A=1");
	assert_string_equal(j.env[1], "B=");
	assert_null(j.env[2]);
}

static void a_job_that_is_cut_or_has_more_is_refused(void **state)
{
	char data[200];
	size_t len = write_job(data);
	struct job j;

	(void)state;
	for (size_t n = 0; n < len; n++)
		assert_false(job_read(&j, data, n));
	data[len] = '\0';
	assert_false(job_read(&j, data, len + 1));
}

static void counts_that_cannot_be_are_refused(void **state)
{
	const struct job_head bad[] = {
		{ .kind = JOB_START, .words = 0, .env = 4 },
		{ .kind = JOB_START, .words = WORDS_MOST + 1, .env = 2 },
		{ .kind = JOB_START, .words = 2, .env = JOB_TEXTS_MOST + 1 },
		{ .kind = JOB_START, .words = 2, .env = 2, .group = JOB_GROUPS },
		{ .kind = JOB_END + 1, .words = 2, .env = 2 },
		{ .kind = JOB_END, .words = 2, .env = 2 },
	};
	char data[200];
	size_t len = write_job(data);
	struct job j;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memcpy(data, &bad[i], sizeof(bad[i]));
		assert_false(job_read(&j, data, len));
	}
	assert_true(job_read(&j, data, sizeof(struct job_head))); /* an end */
}

static void a_pause_doubles_until_something_lasts(void **state)
{
	uint64_t pause = 0;

	(void)state;
	for (uint64_t want = 1000; want < 60000; want *= 2) {
		pause = job_pause(pause, 59999);
		assert_int_equal(pause, want);
	}
	for (int i = 0; i < 3; i++) {
		pause = job_pause(pause, 0);
		assert_int_equal(pause, 60000);
	}
	assert_int_equal(job_pause(pause, 60000), 1000);
}

static void an_end_is_told_in_words(void **state)
{
	char text[80];

	(void)state;
	job_end_text(7 << 8, text, sizeof(text)); /* as wait(2) has it */
	assert_string_equal(text, "has ended with status 7");
	job_end_text(SIGKILL, text, sizeof(text));
	assert_string_equal(text, "was ended by signal 9 (Killed)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_job_is_ready_to_be_run),
		cmocka_unit_test(a_job_that_is_cut_or_has_more_is_refused),
		cmocka_unit_test(counts_that_cannot_be_are_refused),
		cmocka_unit_test(a_pause_doubles_until_something_lasts),
		cmocka_unit_test(an_end_is_told_in_words),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
