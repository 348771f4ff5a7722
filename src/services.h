/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * services: makes the services of a configuration, with all that their files hold.
 */
#ifndef DTLSD_SERVICES_H
#define DTLSD_SERVICES_H

#include <stdbool.h>

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
/* The limits of the configuration hold from now on. */
void services_limit(const struct services *s, const struct conf *c);
void services_clear(struct services *s);

#endif
