/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * services: makes the services of a configuration, with all that their files hold.
 */
#ifndef DTLSD_SERVICES_H
#define DTLSD_SERVICES_H

#include <stdbool.h>
#include <stdint.h>

#include "conf.h"
#include "service.h"

struct services {
	struct service *service[CONF_SERVICES_MOST]; /* in the order of the configuration */
	unsigned count;
};

/*
 * A service that was there before under its name keeps its standing. false: *out is empty, and each service that could
 * not be made is in the log, with the place, the cause and what to do.
 */
bool services_make(struct services *out, const struct conf *c, const struct services *before);
/* What becomes of service index: itself with one more reference, or another one. NULL: out of memory. */
typedef struct service *services_renewal(void *ctx, unsigned index, struct service *s);
/* Each renewed. False: none is another one, or out of memory, and the log says what is lost by it; *out is empty. */
bool services_replace(struct services *out, const struct services *before, services_renewal *renew, void *ctx,
		      const char *lost);
/*
 * The services whose files have changed, with what is in them now; those that it is no good for, and the others, are
 * as they were, and the log says so. c: what before was made of. False: nothing is different, or out of memory;
 * *out is empty.
 */
bool services_renew(struct services *out, const struct conf *c, const struct services *before, const bool *changed);
/* Logs whose sessions end with a change, though it keeps its name. */
void services_say_ends(const struct services *before, const struct services *now);
/* Logs what of their identities has come near its end since before: see expiry.h. Seconds of the wall clock. */
void services_warn(const struct services *s, uint64_t before, uint64_t now);
/* When the first of it runs out, UINT64_MAX: never. */
uint64_t services_expiry(const struct services *s);
/* How many local peers those have that connect. false: none connects. */
bool services_local_peers(const struct services *s, uint32_t *peers);
/* The limits of the configuration hold from now on. */
void services_limit(const struct services *s, const struct conf *c);
/* Has one of them a command? Then there is to be a keeper (spawner.h) before services_start. */
bool services_run_programs(const struct services *s);
/* What runs beside the workers for them, where it does not run already. After services_limit. */
void services_start(const struct services *s);
void services_clear(struct services *s);

#endif
