/* SPDX-License-Identifier: BSD-2-Clause */
/* psk_program: the socket of a program that knows pre-shared keys; what it says is the test's. */
#ifndef DTLSD_TESTS_UNIT_PSK_PROGRAM_H
#define DTLSD_TESTS_UNIT_PSK_PROGRAM_H

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char path[64]; /* where it is, or would be */
static int server = -1;
static struct sockaddr_un asker; /* who put the last question */
static socklen_t asker_len;

static void serve(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	snprintf(path, sizeof(path), "/tmp/dtlsd-psk-program-%ld", (long)getpid());
	unlink(path);
	strcpy(un.sun_path, path);
	server = socket(AF_UNIX, SOCK_DGRAM, 0);
	assert_int_equal(bind(server, (struct sockaddr *)&un, sizeof(un)), 0);
}

static void end_serving(void)
{
	close(server);
	unlink(path);
	server = -1;
}

#endif
