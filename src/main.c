/* SPDX-License-Identifier: BSD-2-Clause */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "daemon.h"
#include "keeper.h"
#include "log.h"
#include "options.h"

#define EXIT_USAGE 2

int main(int argc, char *argv[])
{
	struct conf *conf;
	char err[700];

	keeper_main(argc, argv);
	switch (options_parse(&conf, argc, argv, err, sizeof(err))) {
	case OPTIONS_RUN:
		return conf->check ? check_run(conf) : daemon_run(argc, argv, conf);
	case OPTIONS_HELP:
		options_help(stdout);
		return 0;
	case OPTIONS_VERSION:
		puts(PACKAGE_STRING);
		puts(DTLSD_FEATURES);
		return 0;
	case OPTIONS_FAILED:
		log_error("%s", err);
		return EXIT_FAILURE;
	case OPTIONS_BAD:
		break;
	}
	fprintf(stderr, "dtlsd: %s\n", err);
	return EXIT_USAGE;
}
