/* SPDX-License-Identifier: BSD-2-Clause */
#include "parcel.h"

#include <endian.h>
#include <string.h>

void parcel_write(const struct parcel *p, uint8_t out[static PARCEL_HEAD])
{
	const uint64_t session = htobe64(p->session);

	out[0] = PARCEL_VERSION;
	out[1] = (uint8_t)p->kind;
	out[2] = out[3] = 0;
	memcpy(out + 4, &session, sizeof(session));
}

bool parcel_read(struct parcel *p, const uint8_t *data, size_t len)
{
	uint64_t session;

	if (len < PARCEL_HEAD || data[0] != PARCEL_VERSION || data[2] || data[3])
		return false;
	switch (data[1]) {
	case PARCEL_OPEN:
	case PARCEL_DATA:
	case PARCEL_CLOSE:
	case PARCEL_ASK:
		break;
	default:
		return false;
	}
	memcpy(&session, data + 4, sizeof(session));
	*p = (struct parcel){ (enum parcel_kind)data[1], be64toh(session) };
	return true;
}
