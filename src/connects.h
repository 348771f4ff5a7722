/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * connects: what a service that connects needs of its configuration: its servers and how it is known to them.
 */
#ifndef DTLSD_CONNECTS_H
#define DTLSD_CONNECTS_H

#include <stdbool.h>

#include "conf.h"
#include "service.h"

struct connects_error {
	const char *setting; /* that it is about; NULL: all of it */
	char text[640];      /* what is wrong, and what to do */
};

/*
 * Fills in forward, uplink and silence_ms of out, whose references the caller lets go. before: what was there under the
 * name, NULL: nothing; its uplink goes on where nothing in it has changed. false: e.
 */
bool connects_make(const struct conf_service *c, const char *dashes, const struct service_config *before,
		   struct service_config *out, struct connects_error *e);
/* Of that the uplink alone. before: the one that goes on where nothing has changed, NULL: none. NULL: e. */
struct uplink *connects_uplink(const struct conf_service *c, const char *dashes, struct uplink *before,
			       struct connects_error *e);
/* For a service that does not connect: false, and e, where it has settings that only those have. */
bool connects_none(const struct conf_service *c, const char *dashes, struct connects_error *e);

#endif
