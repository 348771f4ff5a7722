/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "secret.h"

static char directory[] = "/tmp/dtlsd-secret-XXXXXX";
static char path[128];
static char err[512];

static int set_up(void **state)
{
	(void)state;
	strcpy(directory + sizeof(directory) - 7, "XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/secret", directory);
	err[0] = '\0';
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path);
	/* fails if anything else was left there */
	assert_int_equal(rmdir(directory), 0);
	return 0;
}

static void write_file(const void *data, size_t len, mode_t mode)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

static void a_missing_file_is_made_for_its_owner_alone_and_read_again(void **state)
{
	uint8_t first[SECRET_SIZE], again[SECRET_SIZE];
	mode_t mask = umask(0);
	struct stat st;

	(void)state;
	assert_int_equal(secret_load(path, first, err, sizeof(err)), 0);
	umask(mask);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, SECRET_SIZE);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(secret_load(path, again, err, sizeof(err)), 0);
	assert_memory_equal(first, again, SECRET_SIZE);
	unlink(path);
	assert_int_equal(secret_load(path, again, err, sizeof(err)), 0);
	assert_memory_not_equal(first, again, SECRET_SIZE);
}

static void every_byte_of_the_file_counts(void **state)
{
	uint8_t data[SECRET_MOST], before[SECRET_SIZE], out[SECRET_SIZE];
	static const size_t sizes[] = { SECRET_LEAST, SECRET_LEAST + 1, 1000, SECRET_MOST };

	(void)state;
	memset(data, 'x', sizeof(data));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		write_file(data, sizes[i], 0600);
		assert_int_equal(secret_load(path, before, err, sizeof(err)), 0);
		data[sizes[i] - 1] ^= 1;
		write_file(data, sizes[i], 0400);
		assert_int_equal(secret_load(path, out, err, sizeof(err)), 0);
		assert_memory_not_equal(out, before, SECRET_SIZE);
		unlink(path);
	}
}

static void refused(int error, const char *says)
{
	uint8_t out[SECRET_SIZE];

	assert_int_equal(secret_load(path, out, err, sizeof(err)), -error);
	if (!strstr(err, path) || !strstr(err, says))
		fail_msg("'%s' does not name the file or does not say '%s'", err, says);
}

static void a_file_that_others_may_read_is_refused(void **state)
{
	static const mode_t modes[] = { 0604, 0602, 0601, 0640, 0620, 0610, 0666 };

	(void)state;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		write_file("0123456789abcdef0123456789abcdef", 32, modes[i]);
		refused(EPERM, "chmod 600");
	}
}

static void a_file_of_the_wrong_size_is_refused(void **state)
{
	static uint8_t data[SECRET_MOST + 1];

	(void)state;
	write_file(data, 0, 0600);
	refused(EINVAL, "holds 0 bytes");
	write_file(data, SECRET_LEAST - 1, 0600);
	refused(EINVAL, "holds 31 bytes");
	write_file(data, SECRET_MOST + 1, 0600);
	refused(EINVAL, "at least 4097 bytes");
}

static void what_is_no_file_is_refused(void **state)
{
	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	refused(EINVAL, "not a regular file");
	unlink(path);
	snprintf(path, sizeof(path), "%s/none/secret", directory);
	refused(ENOENT, "cannot be made");
	snprintf(path, sizeof(path), "%s", directory);
	refused(EINVAL, "not a regular file");
}

static void processes_that_make_it_at_once_agree(void **state)
{
	enum { PROCESSES = 8 };
	uint8_t out[PROCESSES][SECRET_SIZE];
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	for (int i = 0; i < PROCESSES; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			int rc = secret_load(path, out[0], err, sizeof(err));

			_exit(rc < 0 || write(ends[1], out[0], SECRET_SIZE) != SECRET_SIZE);
		}
	}
	for (int i = 0; i < PROCESSES; i++) {
		int status;

		assert_true(wait(&status) > 0);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		assert_int_equal(read(ends[0], out[i], SECRET_SIZE), SECRET_SIZE);
		assert_memory_equal(out[i], out[0], SECRET_SIZE);
	}
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_missing_file_is_made_for_its_owner_alone_and_read_again),
		TEST(every_byte_of_the_file_counts),
		TEST(a_file_that_others_may_read_is_refused),
		TEST(a_file_of_the_wrong_size_is_refused),
		TEST(what_is_no_file_is_refused),
		TEST(processes_that_make_it_at_once_agree),
#undef TEST
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
