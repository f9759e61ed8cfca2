#!/bin/sh
echo "coverage needs lcov tools, which this workspace does not set up" >&2
exit 1
