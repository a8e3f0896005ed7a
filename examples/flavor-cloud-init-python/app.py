"""The Wasm side: the contract's functions, which hand all work to the package `cloud_init`.

Modules are imported here, at the top, or not at all: what runs up to the end of this file runs when the component is
built, and the component has no files to import from later.
"""

import dataclasses
import functools
import json
import sys
import time
import traceback

from componentize_py_types import Err
from wit_world.exports.flavor import HealthReport, HealthStatus
from wit_world.exports.meta import PluginDescription
from wit_world.imports import log
from wit_world.imports.log import Level
from wit_world.imports.types import Allocation_LogicalIds, Error, ErrorCode

from cloud_init import health, user_data
from cloud_init import properties as declared
from cloud_init.placeholders import Place
from cloud_init.reading import Invalid

# What EC2 takes; others take more. Past it an operator is better told.
COMMON_LIMIT = 16_384


def answers(function):
    """A trap is never a way to report an error: every exception becomes one of the contract."""

    @functools.wraps(function)
    def call(*arguments):
        try:
            return function(*arguments)
        except Invalid as error:
            raise Err(Error(ErrorCode.INVALID_ARGUMENT, error.message, error.path, None)) from None
        except Exception as error:  # noqa: BLE001
            traceback.print_exc(file=sys.stderr)
            message = f"a fault of the plugin: {type(error).__name__}: {error}; its log has more"
            raise Err(Error(ErrorCode.INTERNAL, message, None, None)) from None

    return call


class Meta:
    def describe_plugin(self):
        return PluginDescription(
            name="flavor-cloud-init",
            version="0.1.0",
            summary="Renders cloud-init user data for each instance, and gives up on those that never boot",
            properties_schema=json.dumps(declared.SCHEMA),
            properties_example=json.dumps(declared.EXAMPLE),
        )


class Flavor:
    @answers
    def validate(self, properties, allocation):
        if isinstance(allocation, Allocation_LogicalIds):
            group = declared.LogicalIds(tuple(allocation.value))
        else:
            group = declared.Size(allocation.value)
        declared.check(declared.read(properties), group)

    @answers
    def prepare(self, properties, spec, allocation, index):
        if spec.init.startswith(("#cloud-config", "## template:", "Content-Type:", "#include")):
            message = "the instance's Init is user data for cloud-init already, and two cannot be merged; remove it"
            raise Invalid("", message)
        place = Place(index.group, index.sequence, spec.logical_id)
        init = user_data.render(declared.filled(declared.read(properties), place), spec.init)
        size = len(init.encode())
        if size > COMMON_LIMIT:
            log.log(Level.WARN, f"the user data is {size} bytes; some clouds take {COMMON_LIMIT} at most")
        return dataclasses.replace(spec, init=init)

    @answers
    def health(self, properties, instances):
        boot_timeout_ms = declared.read(properties).boot_timeout_ms
        now_ms = time.time_ns() // 1_000_000

        def report(it):
            state = it.state.name.lower()
            status, message = health.judge(state, it.message, it.created_at_ms, now_ms, boot_timeout_ms)
            return HealthReport(HealthStatus[status.upper()], message)

        return [report(it) for it in instances]

    @answers
    def drain(self, properties, instance):
        """Nothing to do: user data runs nothing that could be asked to leave."""
