/* SPDX-License-Identifier: BSD-2-Clause */
#include "ratelimit.h"

#define TOKEN 1000 /* a token in thousandths: rate per second is then rate thousandths per millisecond */

static uint64_t full(const struct ratelimit *r)
{
	return (uint64_t)r->burst * TOKEN;
}

void ratelimit_init(struct ratelimit *r, uint32_t rate, uint32_t burst, uint64_t now_ms)
{
	r->rate = rate;
	r->burst = burst > 0 ? burst : 1; /* a bucket that holds no token would never give one */
	r->last_ms = now_ms;
	r->tokens = full(r);
}

static void refill(struct ratelimit *r, uint64_t now_ms)
{
	uint64_t elapsed, room = full(r) - r->tokens;

	if (now_ms <= r->last_ms)
		return;
	elapsed = now_ms - r->last_ms;
	r->last_ms = now_ms;
	if (elapsed > room / r->rate) /* also keeps the product from overflowing */
		r->tokens = full(r);
	else
		r->tokens += elapsed * r->rate;
}

bool ratelimit_take(struct ratelimit *r, uint64_t now_ms)
{
	if (r->rate == 0)
		return true;
	refill(r, now_ms);
	if (r->tokens < TOKEN)
		return false;
	r->tokens -= TOKEN;
	return true;
}
