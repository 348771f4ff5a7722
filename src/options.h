/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * options: the command line of dtlsd. It makes the same struct conf as a file does, with one service, or reads the
 * file that --config names; of the options some may stand beside that.
 */
#ifndef DTLSD_OPTIONS_H
#define DTLSD_OPTIONS_H

#include <stddef.h>
#include <stdio.h>

#include "conf.h"

/* OPTIONS_BAD: the line is wrong. OPTIONS_FAILED: the file, or memory. */
enum options_verdict { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_VERSION, OPTIONS_BAD, OPTIONS_FAILED };

/*
 * OPTIONS_RUN: *out is the configuration, to be freed with conf_free; argv outlives it. OPTIONS_BAD and
 * OPTIONS_FAILED: err says what is wrong and what is accepted. Without an address: "*:4433". May be
 * called again with the same line: a reload reads the file anew.
 */
enum options_verdict options_parse(struct conf **out, int argc, char *argv[], char *err, size_t err_size);

void options_help(FILE *to);

#endif
