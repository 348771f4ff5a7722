/* SPDX-License-Identifier: BSD-2-Clause */
#include "check.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "listeners.h"
#include "log.h"
#include "services.h"
#include "subject.h"

bool check_secret(const struct conf *c, uint8_t out[static SECRET_SIZE])
{
	const struct subject u = { .conf = c };
	char err[512], text[550];

	if (secret_load(c->cookie_secret, out, err, sizeof(err)) == 0)
		return true;
	snprintf(text, sizeof(text), "%s%s", subject_dashes(&u), err);
	subject_complain(&u, text);
	return false;
}

/* A secret that is not there would be made. */
static bool is_secret_well(const struct conf *c)
{
	uint8_t secret[SECRET_SIZE] = { 0 };
	bool well = !c->cookie_secret || access(c->cookie_secret, F_OK) < 0 || check_secret(c, secret);

	explicit_bzero(secret, sizeof(secret));
	return well;
}

static bool are_addresses_here(const struct conf *c)
{
	char err[600];

	if (listeners_check(c, err, sizeof(err)) == 0)
		return true;
	log_error("%s", err);
	return false;
}

int check_run(struct conf *conf)
{
	struct services none = { .count = 0 }, made;
	bool well;

	log_open(LOG_TO_STDERR, conf_log_level(conf), "dtlsd");
	well = services_make(&made, conf, &none);
	well &= is_secret_well(conf);
	well &= are_addresses_here(conf);
	if (well)
		log_notice("all is well: %u service%s", made.count, made.count == 1 ? "" : "s");
	services_clear(&made);
	conf_free(conf);
	return well ? 0 : 1;
}
