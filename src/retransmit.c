/* SPDX-License-Identifier: BSD-2-Clause */
#include "retransmit.h"

#include <errno.h>

#define FIRST_MS 1000   /* RFC 6347 4.2.4.1 */
#define MOST_MS 60000
#define ASKED_MS 200    /* a peer that repeats itself gets the flight again, at most this often */

/* UDP payloads to fall back to when flights vanish: an IPv4 path of 576 bytes, and the least there is. */
static const size_t mtu_steps[] = { 1200, 548, FLIGHT_MTU_MIN };

int retransmit_init(struct retransmit *r, uint64_t first_seq, size_t mtu)
{
	*r = (struct retransmit){ .flight = flight_new(first_seq), .mtu = mtu, .answered = true, .wait = FIRST_MS };
	return r->flight ? 0 : -ENOMEM;
}

void retransmit_destroy(struct retransmit *r)
{
	if (r->flight)
		flight_free(r->flight);
	r->flight = NULL;
}

void retransmit_push(struct retransmit *r, const uint8_t *data, size_t len)
{
	if (r->answered) {
		flight_begin(r->flight);
		r->answered = false;
		r->resends = 0;
		r->wait = FIRST_MS;
	}
	if (flight_push(r->flight, data, len) < 0)
		r->lost = true;
	r->unsent = true;
}

void retransmit_send(struct retransmit *r, uint64_t now, retransmit_out out, void *ctx)
{
	flight_send(r->flight, r->mtu, out, ctx);
	r->sent_at = now;
	r->due = now + r->wait;
	r->mtu_told = false;
	r->unsent = false;
}

void retransmit_again(struct retransmit *r, bool asked, uint64_t now, retransmit_out out, void *ctx)
{
	uint64_t due = r->due;

	flight_rewind(r->flight);
	retransmit_send(r, now, out, ctx);
	if (asked)
		r->due = due;
}

bool retransmit_asked(const struct retransmit *r, uint64_t now)
{
	return !r->answered && !flight_empty(r->flight) && now - r->sent_at >= ASKED_MS;
}

static size_t mtu_below(size_t mtu)
{
	for (size_t i = 0; i < sizeof(mtu_steps) / sizeof(mtu_steps[0]); i++)
		if (mtu_steps[i] < mtu)
			return mtu_steps[i];
	return FLIGHT_MTU_MIN;
}

void retransmit_too_large(struct retransmit *r, size_t mtu, uint64_t now)
{
	if (mtu == 0 && !r->mtu_told)
		mtu = mtu_below(r->mtu);
	if (mtu == 0 || mtu >= r->mtu)
		return;
	r->mtu = mtu < FLIGHT_MTU_MIN ? FLIGHT_MTU_MIN : mtu;
	r->mtu_told = true;
	/* at once, but not from within the send that failed */
	r->due = now;
}

bool retransmit_tick(struct retransmit *r, uint64_t now)
{
	bool just_left = !r->mtu_told && now - r->sent_at < ASKED_MS; /* at the peer's wish */
	size_t mtu = r->mtu;

	if (!r->due || now < r->due)
		return false;
	if (!r->mtu_told) {
		r->resends++;
		/*
		 * RFC 6347 4.1.1.1: when resending does not help, the flight may be too large for the path. The
		 * last step comes late: hardly a path is that narrow, and more datagrams lose more.
		 */
		if (r->resends == 2 || r->resends == 5)
			r->mtu = mtu_below(r->mtu);
		r->wait = r->wait * 2 < MOST_MS ? r->wait * 2 : MOST_MS;
	}
	if (!just_left || r->mtu != mtu)
		return true;
	r->due = now + r->wait;
	return false;
}
