/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * names: a list of names, as of files, with commas between. Pure.
 */
#ifndef DTLSD_NAMES_H
#define DTLSD_NAMES_H

#define NAMES_MOST 128

struct names {
	char *text; /* what the names point into */
	const char *name[NAMES_MOST];
	unsigned count;
};

/*
 * 0; -EINVAL: one of them is empty; -E2BIG: there are more than NAMES_MOST; -ENOMEM. names_free in any case.
 */
int names_parse(struct names *out, const char *list);
void names_free(struct names *n);

#endif
