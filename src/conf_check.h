/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_check: what no single setting shows: names and addresses given twice, services that nobody can reach. Pure.
 */
#ifndef DTLSD_CONF_CHECK_H
#define DTLSD_CONF_CHECK_H

#include "conf.h"

/* 0, or -EINVAL with err saying where, what and what to do. */
int conf_check(const struct conf *c, char *err, size_t err_size);

#endif
