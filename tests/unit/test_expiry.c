/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "expiry.h"
#include "log.h"

#define DAY UINT64_C(86400)
#define END UINT64_C(1798761600) /* 2027-01-01T00:00:00Z */

static char said[16][200];
static unsigned said_count;

__attribute__((format(printf, 3, 4)))
void __wrap_log_write(enum log_level level, const struct flow *flow, const char *fmt, ...);

void __wrap_log_write(enum log_level level, const struct flow *flow, const char *fmt, ...)
{
	va_list ap;

	assert_int_equal(level, LOG_WARNING_);
	assert_null(flow);
	assert_true(said_count < 16);
	va_start(ap, fmt);
	vsnprintf(said[said_count++], sizeof(said[0]), fmt, ap);
	va_end(ap);
}

/* Of one that has so many days to live from its beginning on. */
static struct expiry of_life(enum expiry_kind kind, unsigned days)
{
	const struct expiry_item item = { .kind = kind, .file = "x.pem", .place = 2, .from = END - days * DAY,
					  .until = END };
	struct expiry e = { NULL, 0 };

	assert_int_equal(expiry_add(&e, &item), 0);
	return e;
}

/* A look every hour, as the daemon has it, over the last so many days and one more. */
static void live(const struct expiry *e, unsigned days)
{
	uint64_t before = END - days * DAY;

	said_count = 0;
	for (uint64_t now = before; now <= END + DAY; now += 3600) {
		expiry_warn(e, before, now);
		before = now;
	}
}

static void warnings_come_30_7_and_1_days_ahead_and_at_the_end(void **state)
{
	struct expiry e = of_life(EXPIRY_CERTIFICATE, 365);

	(void)state;
	live(&e, 100);
	assert_int_equal(said_count, 4);
	assert_string_equal(said[0], "x.pem: certificate 2 of the chain expires in 30 days, on 2027-01-01; renew it and "
				     "send SIGHUP");
	assert_string_equal(said[1], "x.pem: certificate 2 of the chain expires in 7 days, on 2027-01-01; renew it and "
				     "send SIGHUP");
	assert_string_equal(said[2], "x.pem: certificate 2 of the chain expires in 1 day, on 2027-01-01; renew it and "
				     "send SIGHUP");
	assert_string_equal(said[3], "x.pem: certificate 2 of the chain has expired, the other side will refuse it; renew it "
				     "and send SIGHUP");
	expiry_clear(&e);
}

static void none_comes_in_the_first_half_of_a_life(void **state)
{
	static const struct {
		unsigned life, warnings;
	} cases[] = { { 1, 1 }, { 2, 2 }, { 13, 2 }, { 14, 3 }, { 59, 3 }, { 60, 4 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct expiry e = of_life(EXPIRY_OCSP, cases[i].life);

		live(&e, cases[i].life);
		assert_int_equal(said_count, cases[i].warnings);
		assert_string_equal(said[said_count - 1],
				    "x.pem: this OCSP response is out of date and not sent; get a new one and send SIGHUP");
		expiry_clear(&e);
	}
}

static void at_the_start_one_line_tells_what_is_due(void **state)
{
	struct expiry e = of_life(EXPIRY_CRL, 365);

	(void)state;
	said_count = 0;
	expiry_warn(&e, 0, END - 31 * DAY);
	assert_int_equal(said_count, 0);
	expiry_warn(&e, 0, END - 20 * DAY);
	assert_int_equal(said_count, 1);
	assert_string_equal(said[0], "x.pem: revocation list 2 is out of date in 20 days, on 2027-01-01; get the CA's new "
				     "one and send SIGHUP");
	expiry_warn(&e, 0, END + 1);
	assert_int_equal(said_count, 2);
	assert_string_equal(said[1], "x.pem: revocation list 2 is out of date: what its CA has revoked since is not "
				     "known; get the CA's new one and send SIGHUP");
	expiry_clear(&e);
}

static void the_first_of_them_counts(void **state)
{
	struct expiry e = { NULL, 0 };

	(void)state;
	assert_true(expiry_first(&e) == UINT64_MAX);
	for (unsigned i = 0; i < 5; i++) {
		const struct expiry_item item = { .kind = EXPIRY_CERTIFICATE, .file = "y", .place = 1, .from = 0,
						  .until = END + (i == 3 ? 0 : i + 1) };

		assert_int_equal(expiry_add(&e, &item), 0);
	}
	assert_true(expiry_first(&e) == END);
	assert_int_equal(expiry_add(&e, &(struct expiry_item){ .kind = EXPIRY_CA, .file = "y", .until = END - 1 }), 0);
	assert_true(expiry_first(&e) == END);
	expiry_clear(&e);
	assert_true(expiry_first(&e) == UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(warnings_come_30_7_and_1_days_ahead_and_at_the_end),
		cmocka_unit_test(none_comes_in_the_first_half_of_a_life),
		cmocka_unit_test(at_the_start_one_line_tells_what_is_due),
		cmocka_unit_test(the_first_of_them_counts),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
