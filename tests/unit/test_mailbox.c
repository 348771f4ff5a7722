/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <semaphore.h>

#include "mailbox.h"

struct message {
	struct letter letter;
	unsigned from, number;
};

static void count(void *ctx)
{
	++*(unsigned *)ctx;
}

static void letters_come_in_the_order_of_posting(void **state)
{
	struct message m[5] = { 0 };
	struct mailbox box;
	struct letter *l;
	unsigned woken = 0, i;

	(void)state;
	mailbox_init(&box, count, &woken);
	assert_null(mailbox_take(&box));
	for (i = 0; i < 5; i++)
		assert_true(mailbox_post(&box, &m[i].letter));
	l = mailbox_take(&box);
	for (i = 0; i < 5; i++, l = l->next)
		assert_ptr_equal(l, &m[i].letter);
	assert_null(l);
	assert_null(mailbox_take(&box));
	mailbox_destroy(&box);
}

static void only_a_post_to_an_empty_box_wakes(void **state)
{
	struct message m[3] = { 0 };
	struct mailbox box;
	unsigned woken = 0;

	(void)state;
	mailbox_init(&box, count, &woken);
	mailbox_post(&box, &m[0].letter);
	assert_int_equal(woken, 1);
	mailbox_post(&box, &m[1].letter);
	assert_int_equal(woken, 1);
	mailbox_take(&box);
	mailbox_post(&box, &m[2].letter);
	assert_int_equal(woken, 2);
	mailbox_take(&box);
	mailbox_destroy(&box);
}

static void a_closed_box_takes_nothing_and_gives_back_what_it_had(void **state)
{
	struct message m[3] = { 0 };
	struct mailbox box;
	unsigned woken = 0;
	struct letter *l;

	(void)state;
	mailbox_init(&box, count, &woken);
	mailbox_post(&box, &m[0].letter);
	mailbox_post(&box, &m[1].letter);
	l = mailbox_close(&box);
	assert_ptr_equal(l, &m[0].letter);
	assert_ptr_equal(l->next, &m[1].letter);
	assert_null(l->next->next);
	assert_false(mailbox_post(&box, &m[2].letter));
	assert_int_equal(woken, 1);
	assert_null(mailbox_take(&box));
	assert_null(mailbox_close(&box)); /* twice does no harm */
	mailbox_destroy(&box);
}

struct reentry {
	struct mailbox box;
	struct letter *taken;
};

static void take_in_wake(void *ctx)
{
	struct reentry *r = ctx;

	r->taken = mailbox_take(&r->box); /* would hang if the lock were held */
}

static void wake_is_called_outside_the_lock(void **state)
{
	struct message m = { 0 };
	struct reentry r;

	(void)state;
	mailbox_init(&r.box, take_in_wake, &r);
	assert_true(mailbox_post(&r.box, &m.letter));
	assert_ptr_equal(r.taken, &m.letter);
	mailbox_destroy(&r.box);
}

#define POSTERS 4
#define LETTERS 5000

static struct mailbox shared;
static sem_t woken_up;
static struct message messages[POSTERS][LETTERS];
static unsigned accepted[POSTERS];

static void wake_sem(void *ctx)
{
	(void)ctx;
	sem_post(&woken_up);
}

static void *poster(void *arg)
{
	unsigned from = (unsigned)(uintptr_t)arg, i;

	for (i = 0; i < LETTERS; i++) {
		messages[from][i].from = from;
		messages[from][i].number = i;
		if (!mailbox_post(&shared, &messages[from][i].letter))
			break;
		accepted[from]++;
	}
	return NULL;
}

/* Threads post; this one sleeps until it is woken, and closes the box after close_after letters. */
static void run_posters(unsigned close_after)
{
	unsigned next[POSTERS] = { 0 }, total = 0, i;
	bool closed = false;
	pthread_t thread[POSTERS];

	assert_int_equal(sem_init(&woken_up, 0, 0), 0);
	mailbox_init(&shared, wake_sem, NULL);
	for (i = 0; i < POSTERS; i++) {
		accepted[i] = 0;
		assert_int_equal(pthread_create(&thread[i], NULL, poster, (void *)(uintptr_t)i), 0);
	}
	while (total < POSTERS * LETTERS && !closed) {
		struct letter *l;

		while (sem_wait(&woken_up) != 0)
			;
		l = mailbox_take(&shared);
		if (total >= close_after) {
			struct letter **end = &l;

			while (*end != NULL)
				end = &(*end)->next;
			*end = mailbox_close(&shared);
			closed = true;
		}
		for (; l != NULL; l = l->next) {
			struct message *m = (struct message *)(void *)l;

			assert_int_equal(m->number, next[m->from]); /* in order, none is lost */
			next[m->from]++;
			total++;
		}
	}
	for (i = 0; i < POSTERS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	for (i = 0; i < POSTERS; i++)
		assert_int_equal(accepted[i], next[i]);
	assert_null(mailbox_take(&shared));
	mailbox_destroy(&shared);
	sem_destroy(&woken_up);
}

static void nothing_is_lost_between_threads_and_no_wake_is_missed(void **state)
{
	(void)state;
	run_posters(POSTERS * LETTERS);
}

static void closing_while_others_post_loses_no_accepted_letter(void **state)
{
	(void)state;
	run_posters(LETTERS);
	run_posters(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(letters_come_in_the_order_of_posting),
		cmocka_unit_test(only_a_post_to_an_empty_box_wakes),
		cmocka_unit_test(a_closed_box_takes_nothing_and_gives_back_what_it_had),
		cmocka_unit_test(wake_is_called_outside_the_lock),
		cmocka_unit_test(nothing_is_lost_between_threads_and_no_wake_is_missed),
		cmocka_unit_test(closing_while_others_post_loses_no_accepted_letter),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
