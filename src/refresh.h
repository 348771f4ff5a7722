/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * refresh: asks the resolver again for backends that were given by name, in a thread of its own: neither sessions
 * nor signals wait for it. The main thread's.
 */
#ifndef DTLSD_REFRESH_H
#define DTLSD_REFRESH_H

#include "conf.h"
#include "services.h"

struct refresh;

/* All services with named backends. NULL: there are none, or no thread; done is called in that thread. */
struct refresh *refresh_begin(const struct services *s, void (*done)(void *ctx), void *ctx);
/*
 * Those services with what the names stand for now, the others as they are. False: nothing is different, the resolver
 * has not answered yet, or out of memory; *out is empty. s: as it was at the beginning.
 */
bool refresh_take(struct refresh *r, const struct services *s, struct services *out);
/* At any time, also while it asks: done will not be called any more. NULL is fine. */
void refresh_free(struct refresh *r);

#endif
