/* SPDX-License-Identifier: BSD-2-Clause */
#include "steps.h"

#include <stddef.h>

void steps_init(struct steps *s, unsigned most)
{
	*s = (struct steps){ .most = most };
	place_init(&s->line);
}

void steps_turn(struct steps *s)
{
	s->done = 0;
}

static bool some_left(const struct steps *s)
{
	return s->most == 0 || s->done < s->most;
}

bool steps_take(struct steps *s, struct place *p)
{
	if (some_left(s) && (place_alone(&s->line) || s->called == p)) {
		s->done++;
		return true;
	}
	if (place_alone(p))
		place_append(&s->line, p);
	return false;
}

struct place *steps_call(struct steps *s)
{
	struct place *first = some_left(s) && !place_alone(&s->line) ? s->line.next : NULL;

	s->called = first;
	return first;
}

bool steps_may_begin(const struct steps *s)
{
	return some_left(s) && place_alone(&s->line);
}
