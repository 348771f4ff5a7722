/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * connects: what a service that connects needs of its configuration: its servers and how it is known to them.
 */
#ifndef DTLSD_CONNECTS_H
#define DTLSD_CONNECTS_H

#include <stdbool.h>

#include "conf.h"
#include "service.h"

#define CONNECTS_ERROR 640

/*
 * Fills in forward, uplink and silence_ms of out, whose references the caller lets go. before: what was there under the
 * name, NULL: nothing; its uplink goes on where nothing in it has changed. false: err says what is wrong, and what
 * to do.
 */
bool connects_make(const struct conf_service *c, const char *dashes, const struct service_config *before,
		   struct service_config *out, char err[static CONNECTS_ERROR]);
/* Of that the uplink alone. before: the one that goes on where nothing has changed, NULL: none. NULL: err. */
struct uplink *connects_uplink(const struct conf_service *c, const char *dashes, struct uplink *before,
			       char err[static CONNECTS_ERROR]);
/* For a service that does not connect: false, and err, where it has settings that only those have. */
bool connects_none(const struct conf_service *c, const char *dashes, char err[static CONNECTS_ERROR]);

#endif
