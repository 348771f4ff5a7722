/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check: whether all is well that a configuration names, without serving it: beside a dtlsd that does,
 * nothing is made or opened.
 */
#ifndef DTLSD_CHECK_H
#define DTLSD_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "conf.h"
#include "secret.h"

/* Loads all that conf names, says whether it is well and frees it. The exit status of the process: 0 or 1. */
int check_run(struct conf *conf);
/* secret_load of the file that is named there. false: it is in the log. */
bool check_secret(const struct conf *c, uint8_t out[static SECRET_SIZE]);

#endif
