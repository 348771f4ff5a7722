/* SPDX-License-Identifier: BSD-2-Clause */
#include "admission.h"

#include "log.h"
#include "metrics.h"

void admission_set_rate(struct admission *a, uint32_t per_second, uint64_t now_ms)
{
	if (a->rate.rate != per_second)
		ratelimit_init(&a->rate, per_second, per_second, now_ms);
}

static void evict(struct admission *a, struct handshake *h)
{
	metric_inc(a->peers->env->metrics, METRIC_handshake_evicted);
	log_limited(LOG_WARNING_, &handshake_node(h)->flow,
		    "half-open handshake given up for a newer one: a flood of hellos, or --max-handshakes is too low");
	peers_remove_handshake(a->peers, h);
}

static bool rate_allows(struct admission *a, const struct flow *flow)
{
	if (ratelimit_take(&a->rate, a->peers->env->now))
		return true;
	metric_inc(a->peers->env->metrics, METRIC_limited_rate);
	log_limited(LOG_WARNING_, flow, "peer refused: more handshakes a second than --handshake-rate allows");
	return false;
}

/* ---- the limits of its service ---- */

static void give_back_share(const struct applicant *who)
{
	struct quota *q = service_quota(who->service);

	quota_handshake_over(q);
	if (!who->shares)
		quota_leave(q);
}

static bool share_rate_allows(struct admission *a, const struct applicant *who)
{
	if (quota_rate(service_quota(who->service), a->peers->env->now))
		return true;
	metric_inc(a->peers->env->metrics, METRIC_limited_rate);
	log_limited(LOG_WARNING_, who->flow,
		    "peer refused: more handshakes a second than the handshake-rate of service %s allows",
		    who->service->config.name);
	return false;
}

static void refuse_share(struct admission *a, const struct applicant *who, enum quota_verdict v)
{
	metric_inc(a->peers->env->metrics, v == QUOTA_SESSIONS ? METRIC_limited_sessions : METRIC_limited_handshakes);
	log_limited(LOG_WARNING_, who->flow, "peer refused: service %s has all that it may have: raise its %s",
		    who->service->config.name, v == QUOTA_SESSIONS ? "max-sessions" : "max-handshakes");
}

/* ---- the limits of the process ---- */

static enum census_verdict ask_census(struct admission *a, const struct applicant *who)
{
	if (who->again)
		return census_again(a->census, &who->flow->peer);
	return census_admit(a->census, &who->flow->peer);
}

static void give_back_place(struct admission *a, const struct applicant *who)
{
	census_handshake_over(a->census, &who->flow->peer);
	if (!who->again)
		census_leave(a->census, &who->flow->peer);
}

static void refuse(struct admission *a, const struct applicant *who, enum census_verdict v)
{
	static const struct {
		enum metric metric;
		const char *advice;
	} refused[] = {
		[CENSUS_SESSIONS] = { METRIC_limited_sessions, "all sessions are taken: raise --max-sessions" },
		[CENSUS_HANDSHAKES] = { METRIC_limited_handshakes,
					"too many handshakes are under way: raise --max-handshakes, or lower "
					"--handshake-timeout" },
		[CENSUS_ADDRESS] = { METRIC_limited_address,
				     "its address has all the sessions it may have: raise --max-sessions-per-address" },
		[CENSUS_ADDRESS_HANDSHAKES] = { METRIC_limited_address_handshakes,
						"its address has all the handshakes under way that it may have: raise "
						"--max-handshakes-per-address" },
		[CENSUS_MEMORY] = { METRIC_limited_memory, "out of memory: lower --max-sessions" },
	};
	static struct log_gate gate[sizeof(refused) / sizeof(refused[0])];

	metric_inc(a->peers->env->metrics, refused[v].metric);
	log_write_limited(&gate[v], LOG_WARNING_, who->flow, "peer refused: %s", refused[v].advice);
}

/* ---- all of them ---- */

/* What the two kinds of limits say; of those that say yes it has a place. */
struct places {
	enum census_verdict census;
	enum quota_verdict share;
};

static bool has_both(const struct places *p)
{
	return p->census == CENSUS_OK && p->share == QUOTA_OK;
}

static void give_back(struct admission *a, const struct applicant *who, const struct places *p)
{
	if (p->share == QUOTA_OK)
		give_back_share(who);
	if (p->census == CENSUS_OK)
		give_back_place(a, who);
}

/* Who would make room. NULL: nobody can, or it would not help. */
static struct handshake *in_the_way(struct admission *a, const struct applicant *who, const struct places *p)
{
	if ((p->census != CENSUS_OK && p->census != CENSUS_HANDSHAKES) || p->share == QUOTA_SESSIONS)
		return NULL;
	return peers_oldest_half_open(a->peers, p->share == QUOTA_HANDSHAKES ? service_quota(who->service) : NULL);
}

static void refuse_places(struct admission *a, const struct applicant *who, const struct places *p)
{
	/* who finds the service full would be no better off with a handshake to spare */
	if (p->census == CENSUS_OK || (p->census == CENSUS_HANDSHAKES && p->share == QUOTA_SESSIONS))
		refuse_share(a, who, p->share);
	else
		refuse(a, who, p->census);
	give_back(a, who, p);
}

bool admission_ask(struct admission *a, const struct applicant *who)
{
	struct quota *q = service_quota(who->service);
	struct places p = { ask_census(a, who), quota_admit(q, who->shares) };
	struct handshake *oldest = has_both(&p) ? NULL : in_the_way(a, who, &p);

	if (!has_both(&p) && !oldest) {
		refuse_places(a, who, &p);
		return false;
	}
	/* nobody gives his place to one who is then refused */
	if (!share_rate_allows(a, who) || !rate_allows(a, who->flow)) {
		give_back(a, who, &p);
		return false;
	}
	if (!oldest)
		return true;
	evict(a, oldest);
	if (p.census != CENSUS_OK)
		p.census = ask_census(a, who);
	if (p.share != QUOTA_OK)
		p.share = quota_admit(q, who->shares);
	if (has_both(&p))
		return true;
	refuse_places(a, who, &p);
	return false;
}

void admission_give_back(struct admission *a, const struct applicant *who)
{
	give_back_share(who);
	give_back_place(a, who);
}
