/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "psk.h"

static char err[300];

static struct psk_table *parse(const char *text, size_t len)
{
	/* A copy of exact size, so that a sanitizer sees a read beyond the end. */
	char *copy = malloc(len > 0 ? len : 1);
	struct psk_table *t;

	assert_non_null(copy);
	memcpy(copy, text, len);
	err[0] = '\0';
	t = psk_parse("users", copy, len, err, sizeof(err));
	memset(copy, 'x', len);
	free(copy);
	return t;
}

static struct psk_table *parse_good(const char *text)
{
	struct psk_table *t = parse(text, strlen(text));

	assert_string_equal(err, "");
	assert_non_null(t);
	return t;
}

static void assert_key(const struct psk_table *t, const char *identity, size_t len,
		       const char *key, size_t key_len)
{
	size_t found_len = 0;
	const uint8_t *found = psk_find(t, identity, len, &found_len);

	assert_non_null(found);
	assert_int_equal(found_len, key_len);
	assert_memory_equal(found, key, key_len);
}

static void assert_bad(const char *text, size_t len, const char *message)
{
	assert_null(parse(text, len));
	assert_string_equal(err, message);
}

static void finds_what_psktool_writes(void **state)
{
	struct psk_table *t = parse_good("alice:9e32cf7786321a828ef7668f09fb35db\nbob:00FF\n");

	(void)state;
	assert_int_equal(psk_count(t), 2);
	assert_key(t, "alice", 5, "\x9e\x32\xcf\x77\x86\x32\x1a\x82\x8e\xf7\x66\x8f\x09\xfb\x35\xdb", 16);
	assert_key(t, "bob", 3, "\x00\xff", 2);
	psk_free(t);
}

static void finds_nothing_that_is_not_there(void **state)
{
	struct psk_table *t = parse_good("alice:0102\n");
	struct psk_table *empty = parse_good("");
	char longest[PSK_IDENTITY_MAX + 1] = "alice";
	size_t len = 0;

	(void)state;
	assert_null(psk_find(t, "alic", 4, &len));
	assert_null(psk_find(t, "alice", 6, &len)); /* with its NUL */
	assert_null(psk_find(t, "Alice", 5, &len));
	assert_null(psk_find(t, "", 0, &len));
	assert_null(psk_find(t, longest, sizeof(longest), &len));
	assert_null(psk_find(empty, "alice", 5, &len));
	assert_int_equal(psk_count(empty), 0);
	psk_free(t);
	psk_free(empty);
	psk_free(NULL);
}

static void reads_hex_identities_of_any_bytes(void **state)
{
	struct psk_table *t = parse_good("#00ff3a0a:01\n#616c696365:02\n");

	(void)state;
	assert_int_equal(psk_count(t), 2);
	assert_key(t, "\x00\xff:\n", 4, "\x01", 1);
	assert_key(t, "alice", 5, "\x02", 1);
	psk_free(t);
}

static void skips_comments_and_blank_lines(void **state)
{
	struct psk_table *t = parse_good("# two users: and their keys\n\n \t\r\n#alice:0102\n#abc:01\n"
					 "# abcd:01\n#\n#:01\nbob:03\n");

	(void)state;
	assert_int_equal(psk_count(t), 1);
	assert_key(t, "bob", 3, "\x03", 1);
	psk_free(t);
}

static void takes_the_last_colon_blanks_and_dos_line_ends(void **state)
{
	struct psk_table *t = parse_good("urn:dev:mac 1:0a\r\nmüller:0b \t\nlast:0c");

	(void)state;
	assert_int_equal(psk_count(t), 3);
	assert_key(t, "urn:dev:mac 1", 13, "\x0a", 1);
	assert_key(t, "müller", 7, "\x0b", 1);
	assert_key(t, "last", 4, "\x0c", 1);
	psk_free(t);
	t = parse_good("\xef\xbb\xbf" "alice:0d\n"); /* a byte order mark */
	assert_key(t, "alice", 5, "\x0d", 1);
	psk_free(t);
}

static void accepts_identity_and_key_at_their_limits(void **state)
{
	char identity[PSK_IDENTITY_MAX + 1], key[2 * PSK_KEY_MAX + 1], text[1200], bytes[PSK_KEY_MAX];
	struct psk_table *t;

	(void)state;
	memset(identity, 'i', PSK_IDENTITY_MAX);
	identity[PSK_IDENTITY_MAX] = '\0';
	memset(key, '7', 2 * PSK_KEY_MAX);
	key[2 * PSK_KEY_MAX] = '\0';
	memset(bytes, 0x77, sizeof(bytes));
	snprintf(text, sizeof(text), "%s:%s", identity, key);
	t = parse_good(text);
	assert_key(t, identity, PSK_IDENTITY_MAX, bytes, PSK_KEY_MAX);
	psk_free(t);
	snprintf(text, sizeof(text), "i%s:00", identity);
	assert_bad(text, strlen(text),
		   "users:1: the identity has 129 bytes; GnuTLS accepts at most 128 from a client");
	snprintf(text, sizeof(text), "i:%s77", key);
	assert_bad(text, strlen(text), "users:1: the key has 257 bytes; at most 256 are possible");
}

static void names_file_line_cause_and_cure(void **state)
{
	static const struct {
		const char *text;
		const char *message;
	} cases[] = {
		{ "a:01\n\nbob\n", "users:3: there is no colon; write identity:hexkey, as psktool does" },
		{ "# x\n:01", "users:2: the identity before the colon is empty; write identity:hexkey" },
		{ "bob:", "users:1: the key is missing after the colon; make one with psktool" },
		{ "bob:0g", "users:1: the key is not hexadecimal; write identity:hexkey, as psktool does" },
		{ "bob:01 02",
		  "users:1: the key is not hexadecimal; write identity:hexkey, as psktool does" },
		{ "bob:012",
		  "users:1: the key has an odd number of hex digits, so one is missing or too many" },
		{ "#6162:", "users:1: the key is missing after the colon; make one with psktool" },
		{ "bob:01\n#c: x\nbob:02",
		  "users:3: this identity has a key already, on line 1; remove one of the two" },
		{ "bob:01\n#626f62:02",
		  "users:2: this identity has a key already, on line 1; remove one of the two" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_bad(cases[i].text, strlen(cases[i].text), cases[i].message);
	assert_bad("b\0b:01", 6,
		   "users:1: there is a NUL byte; write an identity of arbitrary bytes as #hex:hexkey");
}

static void never_quotes_a_key(void **state)
{
	(void)state;
	assert_null(parse("bob:c0ffeesecret\n", 17));
	assert_null(strstr(err, "c0ffee"));
	assert_null(parse("c0ffeesecret\n", 13));
	assert_null(strstr(err, "c0ffee"));
}

static void holds_a_hundred_thousand(void **state)
{
	enum { USERS = 100000 };
	char *text = malloc(USERS * 40);
	struct psk_table *t;
	size_t len = 0;

	(void)state;
	assert_non_null(text);
	for (unsigned i = 0; i < USERS; i++)
		len += (size_t)sprintf(text + len, "device-%u:%08x%08x\n", i, i, ~i);
	t = psk_parse("users", text, len, err, sizeof(err));
	free(text);
	assert_non_null(t);
	assert_int_equal(psk_count(t), USERS);
	for (unsigned i = 0; i < USERS; i++) {
		uint8_t want[8] = { (uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i };
		char identity[20];
		int n = sprintf(identity, "device-%u", i);

		for (int k = 0; k < 4; k++)
			want[4 + k] = (uint8_t)~want[k];
		assert_key(t, identity, (size_t)n, (const char *)want, sizeof(want));
	}
	assert_null(psk_find(t, "device-100000", 13, &len));
	psk_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_psktool_writes),
		cmocka_unit_test(finds_nothing_that_is_not_there),
		cmocka_unit_test(reads_hex_identities_of_any_bytes),
		cmocka_unit_test(skips_comments_and_blank_lines),
		cmocka_unit_test(takes_the_last_colon_blanks_and_dos_line_ends),
		cmocka_unit_test(accepts_identity_and_key_at_their_limits),
		cmocka_unit_test(names_file_line_cause_and_cure),
		cmocka_unit_test(never_quotes_a_key),
		cmocka_unit_test(holds_a_hundred_thousand),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
