#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The manual is correct mdoc: mandoc -Tlint has nothing to say about any page, but for references to manuals
# that this machine has not installed.
mandoc=${MANDOC:-mandoc}
if ! command -v "$mandoc" >/dev/null; then
	echo "1..0 # SKIP mandoc is not installed"
	exit 0
fi
number=0
failed=0
for page in "${top_srcdir:-.}"/man/*.[1-9]; do
	number=$((number + 1))
	complaints=$("$mandoc" -Tlint -Wstyle "$page" 2>/dev/null | grep -v 'STYLE: referenced manual not found')
	if test -s "$page" && test -z "$complaints"; then
		echo "ok $number - mandoc finds nothing in ${page##*/}"
	else
		failed=1
		echo "not ok $number - mandoc finds nothing in ${page##*/}"
		echo "$complaints" | sed 's/^/# /'
	fi
done
echo "1..$number"
exit $failed
