"""A trap is never a way to report an error: what an exported function raises becomes an error of the contract."""

import functools
import sys
import traceback

from componentize_py_types import Err
from wit_world.imports.types import Error, ErrorCode

from faults import Fault


def answers(function):
    """Mark an exported function with this."""

    @functools.wraps(function)
    def call(*arguments):
        try:
            return function(*arguments)
        except Fault as fault:
            code = ErrorCode[fault.code.upper().replace("-", "_")]
            raise Err(Error(code, fault.message, fault.path, None)) from None
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            message = f"a fault of the plugin: {type(error).__name__}: {error}; its log has more"
            raise Err(Error(ErrorCode.INTERNAL, message, None, None)) from None

    return call
