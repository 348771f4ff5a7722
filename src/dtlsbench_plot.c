/* SPDX-License-Identifier: BSD-2-Clause */
#include "dtlsbench_plot.h"

#include <math.h>
#include <string.h>

#define WIDTH  800
#define HEIGHT 480
#define LEFT   80
#define RIGHT  (WIDTH - 50)
#define TOP    64
#define BOTTOM (HEIGHT - 60)

#define CURVE_STEP 0.5 /* pixels; what is smaller is not drawn */

/* Told apart by those who do not see red or green as well (Okabe and Ito). */
static const char *const colour[REPORT_SERIES] = {
	"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999",
};

/* Durations on the vertical axis lie between two marks of the series 1, 2, 5, 10, 20, 50 ... ns. */
struct axes {
	double decades; /* of what is left, on the horizontal axis */
	int low, high;  /* marks */
};

static double mark_ns(int mark)
{
	static const double step[] = { 1, 2, 5 };

	return step[mark % 3] * pow(10, mark / 3);
}

/* Of all there are, one in "rest" took longer. */
static double x_at(const struct axes *a, double rest)
{
	return LEFT + (RIGHT - LEFT) * log10(rest) / a->decades;
}

static double y_at(const struct axes *a, double ns)
{
	double low = log10(mark_ns(a->low)), high = log10(mark_ns(a->high));

	return BOTTOM - (BOTTOM - TOP) * (log10(ns < 1 ? 1 : ns) - low) / (high - low);
}

/* False: there is nothing to draw. */
static bool choose_axes(struct axes *a, const struct report *r)
{
	double least = INFINITY, greatest = 1, count = 0;
	unsigned i;

	for (i = 0; i < r->series_count; i++) {
		const struct histogram *h = r->series[i].histogram;

		if (h->count == 0)
			continue;
		least = fmin(least, (double)h->min);
		greatest = fmax(greatest, (double)h->max);
		count = fmax(count, (double)h->count);
	}
	if (count < 1)
		return false;
	a->decades = fmax(1, log10(count));
	for (a->low = 0; mark_ns(a->low + 1) <= least; a->low++)
		;
	for (a->high = a->low + 1; mark_ns(a->high) < greatest; a->high++)
		;
	return true;
}

static void write_text(FILE *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '<')
			fputs("&lt;", out);
		else if (*text == '&')
			fputs("&amp;", out);
		else
			putc(*text, out);
	}
}

static void write_title(FILE *out, const struct report *r)
{
	unsigned i;
	size_t column = 0;

	fprintf(out, "<text x=\"%d\" y=\"24\" font-size=\"16\" font-weight=\"bold\">%s ", LEFT, r->mode);
	write_text(out, r->server);
	fprintf(out, "</text>\n<text x=\"%d\" y=\"44\" fill=\"#555\">", LEFT);
	for (i = 0; i < r->parameters && column + strlen(r->parameter[i].text) < 80; i++) {
		fprintf(out, "%s%s ", i > 0 ? ", " : "", r->parameter[i].name);
		write_text(out, r->parameter[i].text);
		column += strlen(r->parameter[i].name) + strlen(r->parameter[i].text) + 3;
	}
	fputs("</text>\n", out);
}

static void write_line(FILE *out, double x1, double y1, double x2, double y2)
{
	fprintf(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>\n", x1, y1, x2, y2);
}

static void write_share_mark(FILE *out, const struct axes *a, double rest, int decimals)
{
	double x = x_at(a, rest);

	write_line(out, x, TOP, x, BOTTOM);
	fprintf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.*f %%</text>\n", x, BOTTOM + 20, decimals,
		100 - 100 / rest);
}

static void write_axes(FILE *out, const struct axes *a)
{
	int every = a->high - a->low > 15 ? 3 : 1;
	char text[REPORT_NUMBER_LEN];
	int decade, mark;

	write_share_mark(out, a, 2, 0);
	for (decade = 0; decade <= (int)a->decades; decade++)
		write_share_mark(out, a, pow(10, decade), decade > 2 ? decade - 2 : 0);
	fprintf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">share that took no longer</text>\n",
		(LEFT + RIGHT) / 2, HEIGHT - 16);
	for (mark = a->low; mark <= a->high; mark++) {
		double y = y_at(a, mark_ns(mark));

		if (mark % every != 0)
			continue;
		write_line(out, LEFT, y, RIGHT, y);
		report_format_ns(text, mark_ns(mark));
		fprintf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", LEFT - 8, y + 4, text);
	}
	fprintf(out, "<text transform=\"translate(18 %d) rotate(-90)\" text-anchor=\"middle\">duration</text>\n",
		(TOP + BOTTOM) / 2);
}

/* From the left: as high as its bucket, as far as the share that this bucket completes. */
static void write_curve(FILE *out, const struct axes *a, const struct histogram *h, const char *stroke)
{
	double drawn_x = x_at(a, 1), drawn_y = y_at(a, (double)h->min), x, y;
	uint64_t left = h->count;
	unsigned i;

	fprintf(out, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"2\" d=\"M%.1f,%.1f", stroke, drawn_x,
		drawn_y);
	for (i = 0; left > 0; i++) {
		if (h->bucket[i] == 0)
			continue;
		left -= h->bucket[i];
		y = y_at(a, fmin((double)histogram_high(i), (double)h->max));
		x = x_at(a, (double)h->count / (left > 0 ? (double)left : 1));
		if (left > 0 && x - drawn_x < CURVE_STEP && drawn_y - y < CURVE_STEP)
			continue;
		fprintf(out, "V%.1fH%.1f", y, x);
		drawn_x = x;
		drawn_y = y;
	}
	fputs("\"/>\n", out);
}

/* Curves rise to the right: the upper left corner is free. */
static void write_legend(FILE *out, const struct report *r)
{
	int y = TOP + 20;
	unsigned i;

	for (i = 0; i < r->series_count; i++, y += 18) {
		fprintf(out, "<rect x=\"%d\" y=\"%d\" width=\"20\" height=\"4\" fill=\"%s\"/>\n", LEFT + 12, y - 6,
			colour[i]);
		fprintf(out, "<text x=\"%d\" y=\"%d\">%s</text>\n", LEFT + 40, y, r->series[i].name);
	}
}

void plot_write(FILE *out, const struct report *r)
{
	struct axes a;
	unsigned i;

	fprintf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
		"font-family=\"sans-serif\" font-size=\"12\">\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
		WIDTH, HEIGHT, WIDTH, HEIGHT);
	write_title(out, r);
	if (choose_axes(&a, r)) {
		write_axes(out, &a);
		for (i = 0; i < r->series_count; i++) {
			if (r->series[i].histogram->count > 0)
				write_curve(out, &a, r->series[i].histogram, colour[i]);
		}
		write_legend(out, r);
	} else {
		fprintf(out, "<text x=\"%d\" y=\"%d\">nothing was recorded</text>\n", LEFT, HEIGHT / 2);
	}
	fputs("</svg>\n", out);
}
