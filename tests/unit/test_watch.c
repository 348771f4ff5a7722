/* SPDX-License-Identifier: BSD-2-Clause */
/* watch: however a file is replaced, its owner is told, once, and nobody else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <ev.h>

#include "log.h"
#include "watch.h"

#define SETTLE_S 0.05
#define LONG_S 20.0 /* in which all that is waited for happens */

struct scene {
	char directory[64];
	struct ev_loop *loop;
	struct watch *watch;
	ev_timer limit;
	unsigned calls;
	unsigned told[3]; /* by owner */
};

static void changed(void *ctx, const bool owners[WATCH_OWNERS])
{
	struct scene *s = ctx;

	s->calls++;
	for (unsigned i = 0; i < 3; i++)
		s->told[i] += owners[i];
	ev_break(s->loop, EVBREAK_ALL);
}

static void on_limit(struct ev_loop *loop, ev_timer *t, int events)
{
	(void)t;
	(void)events;
	ev_break(loop, EVBREAK_ALL);
}

static const char *in(const struct scene *s, const char *name)
{
	static char paths[8][160];
	static unsigned turn;
	char *path = paths[turn++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", s->directory, name);
	return path;
}

static void put(const struct scene *s, const char *name, const char *text)
{
	FILE *f = fopen(in(s, name), "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void begin(struct scene *s)
{
	const struct watch_config c = { SETTLE_S, changed, s };

	memset(s, 0, sizeof(*s));
	log_open(LOG_TO_STDERR, LOG_ERROR_, "test");
	strcpy(s->directory, "/tmp/dtlsd-watch-XXXXXX");
	assert_non_null(mkdtemp(s->directory));
	s->loop = ev_loop_new(EVFLAG_AUTO);
	s->watch = watch_new(&c);
	assert_true(s->loop && s->watch);
	ev_timer_init(&s->limit, on_limit, 0, 0);
}

static void end(struct scene *s)
{
	char command[128];

	watch_free(s->watch);
	ev_loop_destroy(s->loop);
	snprintf(command, sizeof(command), "rm -r %s", s->directory);
	assert_int_equal(system(command), 0);
}

static void turn(struct scene *s, double seconds)
{
	s->limit.repeat = seconds;
	ev_timer_again(s->loop, &s->limit);
	ev_run(s->loop, 0);
	ev_timer_stop(s->loop, &s->limit);
}

/* The owner is told of it, and of nothing else than that. */
static void expect(struct scene *s, unsigned owner)
{
	unsigned calls = s->calls, told = s->told[owner];

	turn(s, LONG_S);
	assert_int_equal(s->calls, calls + 1);
	assert_int_equal(s->told[owner], told + 1);
}

/* Another change is told of, and this one was not. */
static void expect_silence(struct scene *s)
{
	unsigned told[3];

	memcpy(told, s->told, sizeof(told));
	turn(s, 10 * SETTLE_S);
	assert_memory_equal(told, s->told, sizeof(told));
}

static void rewritten_renamed_and_touched_files_are_told_to_their_owner(void **state)
{
	struct scene s;

	(void)state;
	begin(&s);
	put(&s, "a", "1");
	put(&s, "b", "1");
	put(&s, "unwatched", "1");
	assert_int_equal(watch_file(s.watch, in(&s, "a"), 0), 0);
	assert_int_equal(watch_file(s.watch, in(&s, "b"), 1), 0);
	watch_start(s.watch, s.loop);
	put(&s, "a", "2");
	expect(&s, 0);
	put(&s, "new", "3");
	assert_int_equal(rename(in(&s, "new"), in(&s, "b")), 0);
	expect(&s, 1);
	put(&s, "unwatched", "2");
	expect_silence(&s);
	assert_int_equal(s.told[0], 1);
	end(&s);
}

static void several_files_that_change_together_are_told_in_one_call(void **state)
{
	struct scene s;

	(void)state;
	begin(&s);
	put(&s, "a", "1");
	put(&s, "b", "1");
	put(&s, "c", "1");
	watch_file(s.watch, in(&s, "a"), 0);
	watch_file(s.watch, in(&s, "b"), 0);
	watch_file(s.watch, in(&s, "c"), 2);
	watch_start(s.watch, s.loop);
	put(&s, "a", "2");
	put(&s, "b", "2");
	put(&s, "c", "2");
	expect(&s, 2);
	assert_int_equal(s.told[0], 1);
	assert_int_equal(s.told[1], 0);
	end(&s);
}

static void what_changed_before_the_start_is_told(void **state)
{
	struct scene s;

	(void)state;
	begin(&s);
	put(&s, "a", "1");
	watch_file(s.watch, in(&s, "a"), 0);
	put(&s, "a", "22");
	watch_start(s.watch, s.loop);
	expect(&s, 0);
	end(&s);
}

/* cert -> ..data/cert, ..data -> ..v1, and what is renewed is ..data: as Kubernetes mounts secrets. */
static void a_directory_behind_a_link_is_swapped(void **state)
{
	struct scene s;

	(void)state;
	begin(&s);
	assert_int_equal(mkdir(in(&s, "..v1"), 0700) | mkdir(in(&s, "..v2"), 0700) | mkdir(in(&s, "..v3"), 0700), 0);
	put(&s, "..v1/cert", "1");
	put(&s, "..v2/cert", "2");
	put(&s, "..v3/cert", "3");
	assert_int_equal(symlink("..v1", in(&s, "..data")) | symlink("..data/cert", in(&s, "cert")), 0);
	watch_file(s.watch, in(&s, "cert"), 0);
	watch_start(s.watch, s.loop);
	for (unsigned i = 2; i <= 3; i++) {
		assert_int_equal(symlink(i == 2 ? "..v2" : "..v3", in(&s, "..tmp")), 0);
		assert_int_equal(rename(in(&s, "..tmp"), in(&s, "..data")), 0);
		expect(&s, 0);
	}
	end(&s);
}

/* live/cert -> ../archive/cert1: as certbot keeps certificates; and a link with a whole path before. */
static void a_link_to_the_file_leads_to_another_one(void **state)
{
	struct scene s;

	(void)state;
	begin(&s);
	assert_int_equal(mkdir(in(&s, "live"), 0700) | mkdir(in(&s, "archive"), 0700), 0);
	put(&s, "archive/cert1", "1");
	put(&s, "archive/cert2", "2");
	assert_int_equal(symlink("../archive/cert1", in(&s, "live/cert")), 0);
	assert_int_equal(symlink(in(&s, "live"), in(&s, "here")), 0);
	watch_file(s.watch, in(&s, "here/cert"), 0);
	watch_start(s.watch, s.loop);
	assert_int_equal(unlink(in(&s, "live/cert")), 0);
	assert_int_equal(symlink("../archive/cert2", in(&s, "live/cert")), 0);
	expect(&s, 0);
	put(&s, "archive/cert2", "in place");
	expect(&s, 0);
	end(&s);
}

static void a_file_that_is_gone_is_told_when_it_is_back(void **state)
{
	struct scene s;

	(void)state;
	begin(&s);
	assert_int_equal(mkdir(in(&s, "d"), 0700), 0);
	put(&s, "d/a", "1");
	watch_file(s.watch, in(&s, "d/a"), 0);
	watch_start(s.watch, s.loop);
	assert_int_equal(unlink(in(&s, "d/a")) | rmdir(in(&s, "d")), 0);
	expect_silence(&s);
	assert_int_equal(mkdir(in(&s, "d"), 0700), 0);
	put(&s, "d/a", "2");
	expect(&s, 0);
	put(&s, "d/a", "in place");
	expect(&s, 0);
	end(&s);
}

static void grow(struct ev_loop *loop, ev_timer *t, int events)
{
	FILE *f = fopen(t->data, "a");

	(void)loop;
	(void)events;
	assert_non_null(f);
	fputs("more", f);
	assert_int_equal(fclose(f), 0);
}

static void a_file_that_changes_all_the_time_holds_nothing_up(void **state)
{
	struct scene s;
	ev_timer busy;

	(void)state;
	begin(&s);
	put(&s, "a", "1");
	put(&s, "busy", "1");
	watch_file(s.watch, in(&s, "a"), 0);
	watch_file(s.watch, in(&s, "busy"), 1);
	watch_start(s.watch, s.loop);
	ev_timer_init(&busy, grow, 0, SETTLE_S / 10);
	busy.data = strdup(in(&s, "busy"));
	ev_timer_start(s.loop, &busy);
	put(&s, "a", "2");
	expect(&s, 0);
	assert_int_equal(s.told[1], 1);
	expect(&s, 1);
	ev_timer_stop(s.loop, &busy);
	free(busy.data);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rewritten_renamed_and_touched_files_are_told_to_their_owner),
		cmocka_unit_test(several_files_that_change_together_are_told_in_one_call),
		cmocka_unit_test(what_changed_before_the_start_is_told),
		cmocka_unit_test(a_directory_behind_a_link_is_swapped),
		cmocka_unit_test(a_link_to_the_file_leads_to_another_one),
		cmocka_unit_test(a_file_that_is_gone_is_told_when_it_is_back),
		cmocka_unit_test(a_file_that_changes_all_the_time_holds_nothing_up),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
