"""{{NAME}}: a flavor plugin for homeostat.

As it was written for you, it gives each instance a host name: `GROUP-1.DOMAIN`, `GROUP-2.DOMAIN`, or its logical id. That
is `hostname.py`. This file is what the host calls.

Modules are imported at the top, or not at all: what runs up to the end of this file runs when the component is built, and
the component has no files to import from later.
"""

import dataclasses
import json

from wit_world.exports.flavor import HealthReport, HealthStatus
from wit_world.exports.meta import PluginDescription

import hostname
from answers import answers


class Meta:
    def describe_plugin(self):
        return PluginDescription(
            name="{{NAME}}",
            version="0.1.0",
            summary="Gives each instance a host name",
            properties_schema=json.dumps(hostname.SCHEMA),
            properties_example=json.dumps(hostname.EXAMPLE),
        )


class Flavor:
    @answers
    def validate(self, properties, allocation):
        hostname.domain(properties)

    @answers
    def prepare(self, properties, spec, allocation, index):
        """The same arguments give the same answer: whatever is read here must not change between two calls."""
        line = hostname.init(properties, index.group, index.sequence, spec.logical_id)
        # This flavor's part is added to what other parts of the spec ask for, which stays.
        return dataclasses.replace(spec, init=f"{line}\n{spec.init}")

    @answers
    def health(self, properties, instances):
        """One report for each instance, in the order given."""
        reports = (hostname.HEALTH[it.state.name.lower()] for it in instances)
        return [HealthReport(HealthStatus[status.upper()], message) for status, message in reports]

    @answers
    def drain(self, properties, instance):
        """Nothing to do."""
