/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dtlsbench_options.h"

#define WORDS 40

/* The words are copied: getopt moves them, and a key is overwritten. */
static enum bench_verdict read_line(struct bench_options *o, char *line, char err[static 512])
{
	char *argv[WORDS + 1] = { (char[]){ "dtlsbench" } };
	int argc = 1;

	err[0] = '\0';
	for (char *word = strtok(line, " "); word && argc < WORDS; word = strtok(NULL, " "))
		argv[argc++] = word;
	return bench_options_read(o, argc, argv, err, 512);
}

static struct bench_options good(const char *line)
{
	static char copy[512], err[512];
	struct bench_options o;

	snprintf(copy, sizeof(copy), "%s", line);
	if (read_line(&o, copy, err) != BENCH_RUN)
		fail_msg("%s: %s", line, err);
	return o;
}

static void refused(const char *line, const char *because)
{
	char copy[512], err[512];
	struct bench_options o;

	snprintf(copy, sizeof(copy), "%s", line);
	assert_int_equal(read_line(&o, copy, err), BENCH_BAD);
	if (!strstr(err, because))
		fail_msg("%s: '%s' does not say '%s'", line, err, because);
	bench_options_free(&o);
}

static void each_mode_has_its_defaults(void **state)
{
	static const struct {
		const char *line;
		enum bench_mode mode;
		uint32_t sessions;
		double rate;
	} modes[] = {
		{ "hello 127.0.0.1", BENCH_HELLO, 1000, 0 }, { "handshake 127.0.0.1", BENCH_HANDSHAKE, 250, 0 },
		{ "echo 127.0.0.1", BENCH_ECHO, 64, 0 }, { "latency 127.0.0.1", BENCH_LATENCY, 64, 1000 },
		{ "idle 127.0.0.1", BENCH_IDLE, 1000, 0 }, { "churn 127.0.0.1", BENCH_CHURN, 1000, 100 },
		{ "mixed 127.0.0.1", BENCH_MIXED, 1000, 0 },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		struct bench_options o = good(modes[i].line);

		assert_int_equal(o.mode, modes[i].mode);
		assert_int_equal(o.sessions, modes[i].sessions);
		assert_true(o.rate == modes[i].rate);
		assert_true(o.duration == 10);
		assert_int_equal(o.window, 64);
		assert_int_equal(o.size, 64);
		assert_int_equal(o.run, 1);
		assert_int_equal(o.handshakes, 64);
		assert_int_equal(o.verify, 100);
		assert_int_equal(o.mtu, 1200);
		assert_true(o.timeout == 2 && o.handshake_timeout == 10 && o.retransmit == 0.5 && o.settle == 1);
		assert_int_equal(o.server.port, 4433);
		assert_string_equal(o.who.host, "127.0.0.1");
	}
}

static void what_is_said_is_taken(void **state)
{
	struct bench_options o = good("--sessions 1e6 --rate 2.5 --size 1200 --run 8 --window 128 --order random "
				      "--verify all --mix 3:7:20 --server-pid 12 "
				      "--server-children --json - --sni a.example mixed [::1]:99");

	(void)state;
	assert_int_equal(o.sessions, 1000000);
	assert_true(o.rate == 2.5);
	assert_int_equal(o.size, 1200);
	assert_int_equal(o.run, 8);
	assert_int_equal(o.window, 128);
	assert_int_equal(o.order, BENCH_RANDOM);
	assert_int_equal(o.verify, BENCH_ALL);
	assert_int_equal(o.mix_handshakes, 3);
	assert_int_equal(o.mix_records, 7);
	assert_int_equal(o.mix_idle, 20);
	assert_int_equal(o.server_pid, 12);
	assert_true(o.server_children);
	assert_string_equal(o.json, "-");
	assert_string_equal(o.who.sni, "a.example");
	assert_string_equal(o.who.host, "::1");
	assert_int_equal(o.server.port, 99);
}

static void a_count_takes_the_place_of_the_time(void **state)
{
	(void)state;
	assert_true(good("--count 5 echo 127.0.0.1").duration > 86400);
	assert_int_equal(good("--count 5 echo 127.0.0.1").count, 5);
	assert_true(good("--count 5 --duration 3 echo 127.0.0.1").duration == 3);
}

static void a_key_does_not_stay_on_the_command_line(void **state)
{
	char line[] = "--pskusername alice --pskkey c0ffee echo 127.0.0.1", err[512];
	struct bench_options o;

	(void)state;
	assert_int_equal(read_line(&o, line, err), BENCH_RUN);
	assert_string_equal(o.who.pskkey, "c0ffee");
	assert_null(memmem(line, sizeof(line), "c0ffee", 6));
	bench_options_free(&o);
}

static void what_is_wrong_is_said_with_its_name_and_advice(void **state)
{
	(void)state;
	refused("", "give a mode and a server");
	refused("echo", "give a mode and a server");
	refused("dance 127.0.0.1", "not a mode");
	refused("echo *:4433", "HOST:PORT");
	refused("echo 0.0.0.0:4433", "address and a port");
	refused("echo 127.0.0.1:0", "address and a port");
	refused("--sessions 0 echo 127.0.0.1", "--sessions '0'");
	refused("--sessions 1.5 echo 127.0.0.1", "whole number");
	refused("--size 7 echo 127.0.0.1", "from 8 to 16384");
	refused("--rate fast echo 127.0.0.1", "--rate 'fast'");
	refused("--rate nan echo 127.0.0.1", "--rate 'nan'");
	refused("--count 0 echo 127.0.0.1", "--count '0': give a whole number from 1 to 1e+15");
	refused("--order both echo 127.0.0.1", "turn|random");
	refused("--mix 1:2 mixed 127.0.0.1", "H:R:I: mixed: H handshakes");
	refused("--mix 0:0:5 mixed 127.0.0.1", "H:R:I");
	refused("--mix 1:1:100 mixed 127.0.0.1", "H:R:I");
	refused("--mix -1:1:1 mixed 127.0.0.1", "H:R:I");
	refused("--pskkey c0ffe --pskusername a echo 127.0.0.1", "odd");
	refused("--nonsense echo 127.0.0.1", "--nonsense");
	refused("--size", "--size");
}

static void what_contradicts_is_refused(void **state)
{
	(void)state;
	refused("--pskusername a echo 127.0.0.1", "go together");
	refused("--x509keyfile k echo 127.0.0.1", "give both");
	refused("--lean echo 127.0.0.1", "--insecure");
	refused("--lean --insecure --resume handshake 127.0.0.1", "--lean has no");
	refused("--plain --resume echo 127.0.0.1", "no handshakes");
	refused("--ahead echo 127.0.0.1", "--count");
	refused("--server-children echo 127.0.0.1", "--server-pid");
	refused("--json - --csv - echo 127.0.0.1", "standard output");
	refused("--run 64 --size 1200 echo 127.0.0.1", "one UDP message");
	refused("--run 8 --window 4 echo 127.0.0.1", "--window");
}

static void what_is_of_no_use_in_a_mode_is_refused(void **state)
{
	(void)state;
	refused("--plain handshake 127.0.0.1", "--plain is of no use in the mode handshake, only in: echo latency;");
	refused("--flood echo 127.0.0.1", "only in: hello;");
	refused("--ahead --count 1 latency 127.0.0.1", "only in: echo;");
	refused("--count 1 idle 127.0.0.1", "only in: hello handshake echo latency churn mixed;");
	refused("--warmup 1 idle 127.0.0.1", "--warmup");
	refused("--size 100 handshake 127.0.0.1", "--size");
	refused("--run 2 churn 127.0.0.1", "only in: echo latency mixed;");
	refused("--order random idle 127.0.0.1", "--order");
	refused("--mix 1:1:1 echo 127.0.0.1", "only in: mixed;");
	refused("--verify all latency 127.0.0.1", "only in: idle churn mixed;");
	refused("--resume hello 127.0.0.1", "--resume");
	refused("--stay hello 127.0.0.1", "--stay");
	refused("--settle 0 echo 127.0.0.1", "only in: idle;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_mode_has_its_defaults),
		cmocka_unit_test(what_is_said_is_taken),
		cmocka_unit_test(a_count_takes_the_place_of_the_time),
		cmocka_unit_test(a_key_does_not_stay_on_the_command_line),
		cmocka_unit_test(what_is_wrong_is_said_with_its_name_and_advice),
		cmocka_unit_test(what_contradicts_is_refused),
		cmocka_unit_test(what_is_of_no_use_in_a_mode_is_refused),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
