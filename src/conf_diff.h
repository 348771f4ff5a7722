/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_diff: in what two configurations differ, for the log of a reload. Pure.
 */
#ifndef DTLSD_CONF_DIFF_H
#define DTLSD_CONF_DIFF_H

#include "conf.h"

enum conf_difference {
	CONF_CHANGED,
	CONF_AT_START /* it holds only for a process that starts with it */
};

/* Calls say with a line for each difference, as "service coap: idle-timeout 300 -> 60". */
void conf_diff(const struct conf *from, const struct conf *to,
	       void (*say)(void *ctx, enum conf_difference what, const char *line), void *ctx);

#endif
