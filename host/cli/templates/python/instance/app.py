"""{{NAME}}: an instance plugin for homeostat.

As it was written for you, an instance is a folder in the directory that the operator grants as `/instances`. That is
`store.py`: put your provider in its place. This file is what the host calls.

Modules are imported at the top, or not at all: what runs up to the end of this file runs when the component is built, and
the component has no files to import from later.
"""

import json
from pathlib import Path

from wit_world.exports.instance import Finding, Page
from wit_world.exports.meta import PluginDescription
from wit_world.imports.types import Instance as Found
from wit_world.imports.types import InstanceState

import properties
import store
from answers import answers

ROOT = Path(store.INSTANCES)


class Meta:
    def describe_plugin(self):
        return PluginDescription(
            name="{{NAME}}",
            version="0.1.0",
            summary="Instances as folders in a granted directory",
            properties_schema=json.dumps(properties.SCHEMA),
            properties_example=json.dumps(properties.EXAMPLE),
        )


class Instance:
    @answers
    def validate(self, text):
        properties.check(text)

    @answers
    def provision(self, name, spec):
        properties.check(spec.properties)
        stored = {
            "properties": json.loads(spec.properties),
            "tags": dict(spec.tags),
            "init": spec.init,
            "logical_id": spec.logical_id,
            "attachments": [[it.id, it.kind] for it in spec.attachments],
        }
        return store.provision(ROOT, name, stored)

    @answers
    def label(self, id, tags):
        store.label(ROOT, id, dict(tags))

    @answers
    def destroy(self, id, reason):
        store.destroy(ROOT, id)

    @answers
    def list(self, request):
        found, cursor, complete, findings = store.list_page(ROOT, dict(request.tags), request.cursor, request.limit)
        instances = [instance(it, request.with_properties) for it in found]
        return Page(instances, cursor, complete, [Finding(subject, message) for subject, message in findings])


def instance(it, with_properties):
    return Found(
        id=it["name"],
        name=it["name"],
        logical_id=it["logical_id"],
        state=InstanceState.RUNNING,
        message="",
        created_at_ms=it["created_at_ms"],
        addresses=[],
        tags=sorted(it["tags"].items()),
        properties=json.dumps(it["properties"]) if with_properties else None,
    )
