/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bare_hmac: the least that an answer with a stateless cookie can cost here: for each datagram one HMAC-SHA1
 * over 80 bytes (as many as dtlsd's cookie vouches for) and 44 bytes back (a HelloVerifyRequest), batched.
 * nettle with a key set up once is used: gnutls_hmac_fast prepares its key again for each message.
 */
#include <errno.h>
#include <nettle/hmac.h>
#include <string.h>
#include <sys/socket.h>

#include "util.h"

#define QUESTION 2048
#define BOUND 80
#define COOKIE 16
#define ANSWER 44

struct slot {
	struct sockaddr_in peer;
	struct iovec in, out;
	uint8_t question[QUESTION];
	uint8_t answer[ANSWER];
};

static struct slot slots[BATCH];
static struct mmsghdr messages[BATCH];

static const uint8_t template[ANSWER - COOKIE] = {
	22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 31,      /* record */
	3,  0,    0,    19, 0, 0, 0, 0, 0, 0, 0, 19,        /* HelloVerifyRequest */
	0xfe, 0xff, COOKIE,
};

static void make_answer(struct slot *s, const struct hmac_sha1_ctx *key)
{
	struct hmac_sha1_ctx hmac = *key;
	uint8_t bound[BOUND];

	memcpy(bound, &s->peer, sizeof(s->peer));
	memcpy(bound + sizeof(s->peer), s->question, BOUND - sizeof(s->peer));
	hmac_sha1_update(&hmac, BOUND, bound);
	memcpy(s->answer, template, sizeof(template));
	hmac_sha1_digest(&hmac, COOKIE, s->answer + sizeof(template));
}

int main(int argc, char **argv)
{
	static const uint8_t secret[32] = "constant: nothing depends on it";
	struct sockaddr_in bound;
	struct hmac_sha1_ctx key;
	int fd;

	if (argc != 2)
		die("usage: bare_hmac IPV4:PORT");
	bound = parse_endpoint(argv[1]);
	fd = open_udp(&bound, 0);
	deepen_queues(fd);
	hmac_sha1_set_key(&key, sizeof(secret), secret);
	for (unsigned i = 0; i < BATCH; i++) {
		slots[i].in = (struct iovec){slots[i].question, QUESTION};
		slots[i].out = (struct iovec){slots[i].answer, ANSWER};
		messages[i].msg_hdr.msg_name = &slots[i].peer;
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	for (;;) {
		int n, sent = 0;

		for (unsigned i = 0; i < BATCH; i++) {
			messages[i].msg_hdr.msg_iov = &slots[i].in;
			messages[i].msg_hdr.msg_namelen = sizeof(slots[i].peer);
		}
		n = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
		for (int i = 0; i < n; i++) {
			make_answer(&slots[i], &key);
			messages[i].msg_hdr.msg_iov = &slots[i].out;
		}
		while (sent < n) {
			int k = sendmmsg(fd, messages + sent, (unsigned)(n - sent), 0);

			if (k < 0)
				die("sendmmsg: %s", strerror(errno));
			sent += k;
		}
	}
}
