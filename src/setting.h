/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * setting: the one list of all that can be set, on the command line (options.c) and in dtlsd.conf
 * (conf_file.c): names, kinds, bounds, defaults and help texts. Pure.
 */
#ifndef DTLSD_SETTING_H
#define DTLSD_SETTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum setting_kind {
	SETTING_TEXT,    /* const char * */
	SETTING_FILE,    /* const char *: a path, in a file relative to the directory of that file */
	SETTING_FILES,   /* const char *: several of them, with commas between; or objects in PKCS#11 tokens */
	SETTING_WORDS,   /* const char *: words of words.h; in a file a list */
	SETTING_NUMBER,  /* uint32_t */
	SETTING_CHOICE,  /* uint32_t: the place among the words of .argument */
	SETTING_FLAG,    /* bool; on the command line without an argument, in a file yes or no */
	SETTING_COUNT,   /* uint32_t: how often it was given; command line only */
	SETTING_VERDICT  /* nothing is set: .offset is an enum setting_verdict; command line only */
};

enum setting_verdict { SETTING_HELP, SETTING_VERSION };

/* Whose it is: .offset is into struct conf, struct conf_service or struct conf_route. */
enum setting_scope { SETTING_OF_PROCESS, SETTING_OF_SERVICE, SETTING_OF_ROUTE };

enum setting_where {
	SETTING_ON_LINE = 1,
	SETTING_IN_FILE = 2,
	SETTING_ANYWHERE = 3,
	SETTING_BESIDE_FILE = 4, /* on the command line also beside --config; there it outweighs the file */
	SETTING_AT_START = 8,    /* a reload cannot change it */
	SETTING_WATCHED = 16     /* of a file: when it changes it is read again (watch-files) */
};

struct setting {
	const char *name;
	char letter;   /* on the command line; 0: none */
	enum setting_kind kind;
	unsigned where; /* enum setting_where */
	enum setting_scope scope;
	size_t offset;
	uint32_t preset, least, most;
	const char *argument; /* for SETTING_CHOICE the words, with | between */
	const char *help;
};

extern const struct setting settings[];
extern const size_t setting_count; /* at most CONF_SETTINGS_MOST */

/* NULL: there is none of that name, scope and place. */
const struct setting *setting_find(const char *name, enum setting_scope scope, enum setting_where where);
/* The other presets are all zero. base: a struct conf, conf_service or conf_route, as scope says. */
void setting_presets(void *base, enum setting_scope scope);
/*
 * Sets what s says in base. text is NULL for a flag or count on the command line; it is kept as a
 * pointer by texts, files and words. 0, or -EINVAL with err saying what is wrong and what is accepted, without the name.
 */
int setting_apply(const struct setting *s, void *base, const char *text, char *err, size_t err_size);
/* The value for people; of none at all "none". Cut where it does not fit. */
void setting_format(const struct setting *s, const void *base, char *out, size_t size);
/* The value of a text, of files or words; NULL: not given. */
const char *setting_text(const struct setting *s, const void *base);
bool setting_equal(const struct setting *s, const void *a, const void *b);

#endif
