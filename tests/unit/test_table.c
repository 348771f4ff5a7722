/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "chance.h"
#include "table.h"

static const struct siphash_key key = { 1, 2 };

struct item {
	struct table_node node;
	bool in;
	unsigned visits;
};

static struct flow flow_of(uint32_t i)
{
	struct flow f = {
		.peer = { .ip = { [10] = 0xff, 0xff, 10, 0, 0, 1 }, .port = (uint16_t)i, .family = AF_INET },
		.local = { .ip = { [10] = 0xff, 0xff, 127, 0, 0, 1 }, .port = 4433, .family = AF_INET },
	};

	f.peer.ip[13] = (uint8_t)(i >> 16);
	return f;
}

static struct item *items_new(unsigned n)
{
	struct item *items = test_calloc(n, sizeof(*items));
	unsigned i;

	for (i = 0; i < n; i++)
		items[i].node.flow = flow_of(i);
	return items;
}

static void put(struct table *t, struct item *i)
{
	table_insert(t, &i->node);
	i->in = true;
}

static void take(struct table *t, struct item *i)
{
	table_remove(t, &i->node);
	i->in = false;
}

static void what_was_inserted_is_found_and_nothing_else(void **state)
{
	struct table *t = table_new(&key);
	struct item *items = items_new(3);
	struct flow f;

	(void)state;
	assert_non_null(t);
	assert_null(table_find(t, &items[0].node.flow));
	put(t, &items[0]);
	put(t, &items[1]);
	assert_int_equal(table_count(t), 2);
	f = items[0].node.flow; /* by value, not by address */
	assert_ptr_equal(table_find(t, &f), &items[0].node);
	assert_ptr_equal(table_find(t, &items[1].node.flow), &items[1].node);
	assert_null(table_find(t, &items[2].node.flow));
	f.local.port++; /* both ends name a flow */
	assert_null(table_find(t, &f));
	take(t, &items[0]);
	assert_null(table_find(t, &items[0].node.flow));
	assert_ptr_equal(table_find(t, &items[1].node.flow), &items[1].node);
	take(t, &items[1]);
	assert_int_equal(table_count(t), 0);
	table_free(t);
	test_free(items);
}

#define MANY 40000

/* As a batch of datagrams is looked up. */
static struct table_node *find_in_steps(const struct table *t, const struct flow *flow)
{
	uint64_t hash = table_hash(t, flow);

	table_expect_bucket(t, hash);
	table_expect_node(t, hash);
	return table_with_hash(t, hash);
}

static void check_all(const struct table *t, struct item *items, unsigned n)
{
	size_t count = 0;
	unsigned i;

	for (i = 0; i < n; i++) {
		assert_ptr_equal(table_find(t, &items[i].node.flow), items[i].in ? &items[i].node : NULL);
		assert_ptr_equal(find_in_steps(t, &items[i].node.flow), items[i].in ? &items[i].node : NULL);
		count += items[i].in;
	}
	assert_int_equal(table_count(t), count);
}

static void random_growth_and_shrinking_match_a_flag_per_flow(void **state)
{
	struct table *t = table_new(&key);
	struct item *items = items_new(MANY);
	unsigned wave, step, i;

	(void)state;
	chance_seed = 42;
	for (wave = 0; wave < 10; wave++) {
		/* odd waves empty the table, even ones fill it; each stops somewhere in a resize */
		for (step = 0; step < MANY; step++) {
			i = (unsigned)chance(MANY);
			if (items[i].in && (wave % 2 == 1 || chance(8) == 0))
				take(t, &items[i]);
			else if (!items[i].in && (wave % 2 == 0 || chance(16) == 0))
				put(t, &items[i]);
			if (step % 97 == 0) {
				i = (unsigned)chance(MANY);
				assert_ptr_equal(table_find(t, &items[i].node.flow),
						 items[i].in ? &items[i].node : NULL);
			}
		}
		check_all(t, items, MANY);
	}
	for (i = 0; i < MANY; i++) {
		if (items[i].in)
			take(t, &items[i]);
	}
	check_all(t, items, MANY);
	table_free(t);
	test_free(items);
}

static void every_step_of_a_resize_is_consistent(void **state)
{
	struct table *t = table_new(&key);
	struct item *items = items_new(1200);
	unsigned i;

	(void)state;
	for (i = 0; i < 1200; i++) { /* over 512 and 1024 buckets */
		put(t, &items[i]);
		if (i % 8 == 0 || i >= 510)
			check_all(t, items, 1200);
	}
	for (i = 0; i < 1200; i++) {
		take(t, &items[i]);
		if (i % 8 == 0 || i >= 680)
			check_all(t, items, 1200);
	}
	table_free(t);
	test_free(items);
}

static void seen(void *ctx, struct table_node *n)
{
	struct item *i = (struct item *)(void *)n;

	assert_true(i->in);
	i->visits++;
	++*(size_t *)ctx;
}

static void a_walk_visits_each_once_when_nothing_changes(void **state)
{
	struct table *t = table_new(&key);
	struct item *items = items_new(3000);
	static const size_t max[] = { 1, 7, 64, 100000 };
	unsigned i, k;

	(void)state;
	for (i = 0; i < 3000; i++)
		put(t, &items[i]);
	for (k = 0; k < 4; k++) {
		uint64_t cursor = 0;
		size_t visited, all = 0;
		bool more;

		do {
			visited = 0;
			more = table_walk(t, &cursor, max[k], seen, &visited);
			assert_true(visited <= max[k]);
			assert_true(visited == max[k] || !more);
			all += visited;
		} while (more);
		assert_int_equal(all, 3000);
		for (i = 0; i < 3000; i++)
			assert_int_equal(items[i].visits, k + 1);
	}
	for (i = 0; i < 3000; i++)
		take(t, &items[i]);
	assert_false(table_walk(t, &(uint64_t){ 0 }, 1, seen, &(size_t){ 0 }));
	table_free(t);
	test_free(items);
}

static void a_walk_misses_nobody_who_stays_while_the_table_resizes(void **state)
{
	struct item *items = items_new(MANY);
	unsigned round;

	(void)state;
	chance_seed = 7;
	for (round = 0; round < 8; round++) {
		struct table *t = table_new(&key);
		uint64_t cursor = 0;
		unsigned i, stay = 300;
		bool more, grow = round % 2 == 0;

		for (i = 0; i < MANY; i++) {
			items[i].visits = 0;
			if (i < stay || !grow)
				put(t, &items[i]);
		}
		do {
			size_t visited = 0;

			more = table_walk(t, &cursor, chance(20) + 1, seen, &visited);
			for (i = 0; i < (grow ? 800 : 200); i++) { /* others come, or go */
				struct item *other = &items[stay + chance(MANY - stay)];

				if (grow && !other->in)
					put(t, other);
				else if (!grow && other->in)
					take(t, other);
			}
		} while (more);
		for (i = 0; i < stay; i++)
			assert_true(items[i].visits > 0);
		for (i = 0; i < MANY; i++) {
			if (items[i].in)
				take(t, &items[i]);
		}
		table_free(t);
	}
	test_free(items);
}

struct removal {
	struct table *t;
	size_t visited;
};

static void remove_it(void *ctx, struct table_node *n)
{
	struct removal *r = ctx;
	struct item *i = (struct item *)(void *)n;

	take(r->t, i);
	memset(&i->node, 0xee, sizeof(i->node)); /* its owner frees it */
	r->visited++;
}

static void a_walk_may_remove_all_that_it_visits(void **state)
{
	struct removal r = { .t = table_new(&key) };
	struct item *items = items_new(MANY);
	uint64_t cursor = 0;
	unsigned i;

	(void)state;
	for (i = 0; i < MANY; i++)
		put(r.t, &items[i]);
	while (table_walk(r.t, &cursor, 100, remove_it, &r))
		;
	assert_int_equal(r.visited, MANY);
	assert_int_equal(table_count(r.t), 0);
	table_free(r.t);
	test_free(items);
}

static long pages_mapped(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long pages = 0;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%ld", &pages), 1);
	fclose(f);
	return pages;
}

static void no_insertion_and_no_removal_moves_many(void **state)
{
	enum { ITEMS = 300000, MOST = 128 };
	struct item *items = items_new(ITEMS);
	struct table *t = table_new(&key);
	uint64_t moved = 0, growing, most = 0;
	unsigned i;

	(void)state;
	for (i = 0; i < 2 * ITEMS; i++) {
		uint64_t before = moved;

		if (i < ITEMS)
			put(t, &items[i]);
		else
			take(t, &items[i - ITEMS]);
		moved = table_moved(t);
		if (moved - before > most)
			most = moved - before;
		if (i == ITEMS - 1)
			growing = moved;
	}
	assert_in_range(most, 8, MOST);
	/* it did resize: all nodes once and again in each direction */
	assert_true(growing > ITEMS && moved - growing > ITEMS / 4);
	table_free(t);
	test_free(items);
}

static void memory_goes_back_when_the_flows_have_gone(void **state)
{
	struct item *items = items_new(300000);
	long before, full;
	struct table *t;
	unsigned i;

	(void)state;
	pages_mapped(); /* stdio's own buffers */
	t = table_new(&key);
	before = pages_mapped();
	for (i = 0; i < 300000; i++)
		put(t, &items[i]);
	full = pages_mapped();
	assert_true(full - before >= 262144 * 8 / 4096);
	for (i = 0; i < 300000; i++)
		take(t, &items[i]);
	assert_true(pages_mapped() - before < (full - before) / 100 + 4);
	table_free(t);
	test_free(items);
}

/* No memory is allocated between here and the restoring of the limit, but by the table. */
static void without_memory_to_grow_chains_get_longer(void **state)
{
	struct table *t = table_new(&key);
	struct item *items = items_new(20000);
	struct rlimit old, none;
	unsigned i;
	long before, after;

	(void)state;
	before = pages_mapped();
	assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
	none = old;
	none.rlim_cur = 4096;
	assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
	for (i = 0; i < 20000; i++)
		put(t, &items[i]);
	assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
	after = pages_mapped();
	assert_int_equal(after, before);
	check_all(t, items, 20000);
	for (i = 0; i < 20000; i += 2) /* memory is back: it grows, or finds its size */
		take(t, &items[i]);
	check_all(t, items, 20000);
	for (i = 0; i < 20000; i += 2)
		put(t, &items[i]);
	check_all(t, items, 20000);
	for (i = 0; i < 20000; i++)
		take(t, &items[i]);
	table_free(t);
	test_free(items);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_inserted_is_found_and_nothing_else),
		cmocka_unit_test(random_growth_and_shrinking_match_a_flag_per_flow),
		cmocka_unit_test(every_step_of_a_resize_is_consistent),
		cmocka_unit_test(a_walk_visits_each_once_when_nothing_changes),
		cmocka_unit_test(a_walk_misses_nobody_who_stays_while_the_table_resizes),
		cmocka_unit_test(a_walk_may_remove_all_that_it_visits),
		cmocka_unit_test(no_insertion_and_no_removal_moves_many),
		cmocka_unit_test(memory_goes_back_when_the_flows_have_gone),
		cmocka_unit_test(without_memory_to_grow_chains_get_longer),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
