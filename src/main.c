/* SPDX-License-Identifier: BSD-2-Clause */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <stdio.h>

#include "daemon.h"
#include "options.h"

#define EXIT_USAGE 2

int main(int argc, char *argv[])
{
	struct options o;
	char err[256];

	switch (options_parse(&o, argc, argv, err, sizeof(err))) {
	case OPTIONS_RUN:
		return daemon_run(&o);
	case OPTIONS_HELP:
		options_help(stdout);
		return 0;
	case OPTIONS_VERSION:
		puts(PACKAGE_STRING);
		puts(DTLSD_FEATURES);
		return 0;
	case OPTIONS_BAD:
		break;
	}
	fprintf(stderr, "dtlsd: %s\n", err);
	return EXIT_USAGE;
}
