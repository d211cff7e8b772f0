// SPDX-License-Identifier: GPL-2.0
#include <inttypes.h>
#include <kwasmi_client.h>
#include <stdio.h>

int main(void)
{
	struct kwasmi_value arg = kwasmi_i64(40), sum;
	struct kwasmi_exchange exchange = { .timeout = 1000000000 };
	struct kwasmi_export add;
	int device, service, result;

	device = kwasmi_device_open();
	if (device < 0)
		return 1;
	service = kwasmi_service_find(device, "sum");
	if (service < 0 || kwasmi_function_find(service, "add", &add, NULL))
		return 1;
	result = kwasmi_function_call(service, &add, &arg, 1, &sum, &exchange);
	if (result) {
		fprintf(stderr, "sum: %s\n", kwasmi_call_text(result));
		return kwasmi_call_ran(result) == KWASMI_RAN_NO ? 2 : 3;
	}
	printf("%" PRId64 "\n", sum.of.i64);
	return 0;
}
