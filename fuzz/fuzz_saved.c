/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * saved: the client's session file. The one that was saved is resumed; any other, however little it differs, is
 * told of in one message that says why, and a full handshake begins.
 * The input is a choice of who the client is and of whether the file is made from the saved one, and either
 * what becomes of that or what else is in the file. GnuTLS is not instrumented.
 */
#include <assert.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "dtlsc_saved.h"
#include "fuzz.h"
#include "wire.h"
#include "world.h"

#define FILE_MAX 200000 /* more than is ever read */

static struct cred cred = { .name = "localhost" };
static gnutls_certificate_credentials_t nobody;
static uint8_t saved[4096], content[FILE_MAX];
static size_t saved_len, content_len;
static int file; /* in memory */
static char path[64];
static unsigned messages;
static size_t hello_len, plain_hello_len;

int LLVMFuzzerInitialize(int *argc, char ***argv);

/* ---- a console that only looks ---- */

__attribute__((format(printf, 1, 0)))
static void check_message(const char *format, va_list ap)
{
	char text[1000];
	int n = vsnprintf(text, sizeof(text), format, ap);

	assert(n > 0 && n < (int)sizeof(text));
	assert(strncmp(text, "--session-file ", 15) == 0 && strstr(text, ": a full handshake"));
	messages++;
}

void console_note(struct console *console, const char *format, ...)
{
	va_list ap;

	(void)console;
	va_start(ap, format);
	check_message(format, ap);
	va_end(ap);
}

void console_detail(struct console *console, const char *format, ...)
{
	va_list ap;

	(void)console;
	va_start(ap, format);
	check_message(format, ap);
	va_end(ap);
}

/* ---- a client without a network ---- */

static ssize_t push(gnutls_transport_ptr_t ptr, const void *data, size_t len)
{
	const uint8_t *record = data;

	(void)ptr;
	assert(len > DTLS_RECORD_HEADER && record[0] == DTLS_HANDSHAKE);
	assert(record[DTLS_RECORD_HEADER] == DTLS_CLIENT_HELLO && hello_len == 0);
	hello_len = len;
	return (ssize_t)len;
}

static ssize_t pull(gnutls_transport_ptr_t ptr, void *data, size_t len)
{
	(void)ptr;
	(void)data;
	(void)len;
	errno = EAGAIN;
	return -1;
}

static int pull_timeout(gnutls_transport_ptr_t ptr, unsigned ms)
{
	(void)ptr;
	(void)ms;
	return 0;
}

/* Loads the file and begins a handshake. */
static void begin(const struct dtlsc_options *options)
{
	gnutls_session_t tls;

	assert(gnutls_init(&tls, GNUTLS_CLIENT | GNUTLS_DATAGRAM | GNUTLS_NONBLOCK) == 0);
	assert(gnutls_priority_set(tls, cred.priority) == 0);
	assert(gnutls_credentials_set(tls, GNUTLS_CRD_CERTIFICATE, nobody) == 0);
	gnutls_transport_set_push_function(tls, push);
	gnutls_transport_set_pull_function(tls, pull);
	gnutls_transport_set_pull_timeout_function(tls, pull_timeout);
	messages = 0;
	hello_len = 0;
	saved_session_load(&cred, options, tls, NULL);
	assert(gnutls_handshake(tls) == GNUTLS_E_AGAIN && hello_len > 0);
	gnutls_deinit(tls);
}

/* A session from a real handshake, with a ticket. */
static void save(void)
{
	static const struct world_options plain;
	char directory[] = "/tmp/dtlsd-fuzz-XXXXXX";
	struct dtlsc_options options = { .port = "5684", .session_file = path };
	struct world w;
	struct client *c;
	FILE *f;

	world_set_up(NULL);
	world_init(&w, &plain);
	c = client_new(&w, AUTH_ECDSA, 0, NULL);
	assert(world_run(&w, 10000, client_is_done, c) && mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/session", directory);
	saved_session_save(&cred, &options, c->session, NULL);
	assert(messages == 0);
	f = fopen(path, "r");
	assert(f);
	saved_len = fread(saved, 1, sizeof(saved), f);
	assert(saved_len < sizeof(saved));
	fclose(f);
	unlink(path);
	rmdir(directory);
	client_free(c);
	world_end(&w);
	world_tear_down(NULL);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct dtlsc_options none = { .port = "5684", .session_file = "/nonexistent" };

	(void)argc;
	(void)argv;
	setenv("CMOCKA_TEST_ABORT", "1", 1);
	save();
	assert(gnutls_priority_init(&cred.priority, "NORMAL:-VERS-ALL:+VERS-DTLS1.2", NULL) == 0);
	assert(gnutls_certificate_allocate_credentials(&nobody) == 0);
	begin(&none);
	plain_hello_len = hello_len;
	file = memfd_create("session", MFD_CLOEXEC);
	assert(file >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	return 0;
}

/* ---- what becomes of the file ---- */

static void put(size_t at, const void *data, size_t len)
{
	if (content_len + len > sizeof(content))
		return;
	memmove(content + at + len, content + at, content_len - at);
	memcpy(content + at, data, len);
	content_len += len;
}

static void edit(struct fuzz_input *in)
{
	uint8_t op = fuzz_u8(in), value = fuzz_u8(in);
	size_t at = fuzz_u16(in) % (content_len + 1), len = value;

	switch (op % 5) {
	case 0:
		if (at < content_len)
			content[at] ^= value;
		break;
	case 1:
		content_len = at;
		break;
	case 2:
		len = len < content_len - at ? len : content_len - at;
		content_len -= len;
		memmove(content + at, content + at + len, content_len - at);
		break;
	case 3:
		put(at, fuzz_bytes(in, &len), len);
		break;
	case 4: /* its own beginning again */
		for (size_t n = 0; n < value; n++)
			put(content_len, saved, saved_len);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	uint8_t how = fuzz_u8(&in);
	struct dtlsc_options options = { .port = "5684", .session_file = path };

	options.pskusername = how & 1 ? "alice" : NULL;
	content_len = 0;
	if (how & 2) {
		put(0, saved, saved_len);
		while (in.left)
			edit(&in);
	} else {
		put(0, in.at, in.left);
	}
	assert(ftruncate(file, 0) == 0);
	assert(pwrite(file, content, content_len, 0) == (ssize_t)content_len);
	begin(&options);
	if (!(how & 1) && content_len == saved_len && memcmp(content, saved, saved_len) == 0)
		assert(messages == 0 && hello_len > plain_hello_len);
	else
		assert(messages == 1 && hello_len == plain_hello_len);
	return 0;
}
