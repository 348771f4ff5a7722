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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_job_is_ready_to_be_run),
		cmocka_unit_test(a_job_that_is_cut_or_has_more_is_refused),
		cmocka_unit_test(counts_that_cannot_be_are_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
