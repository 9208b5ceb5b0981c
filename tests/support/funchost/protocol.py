"""The messages between Functions host and Python worker, built at run time from a table of names, numbers and types.

On the wire only field numbers and types matter; the table has the messages an HTTP app with timers exchanges.
Source: Azure/azure-functions-language-worker-protobuf, `src/proto/FunctionRpc.proto`.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

SERVICE = "AzureFunctionsRpcMessages.FunctionRpc"
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_PACKAGE = "AzureFunctionsRpcMessages"

_ENUMS = {
    "StatusResult.Status": "Failure=0 Success=1 Cancelled=2",
    "BindingInfo.Direction": "in=0 out=1 inout=2",
    "BindingInfo.DataType": "undefined=0 string=1 binary=2 stream=3",
    "RpcLog.Level": "Trace=0 Debug=1 Information=2 Warning=3 Error=4 Critical=5 None=6",
    "RpcRetryOptions.RetryStrategy": "exponential_backoff=0 fixed_delay=1",
}

# name:number:type; "*" repeated, "{" a map by string, "group@" puts a field into that oneof.
_MESSAGES = {
    "StreamingMessage": """request_id:1:string
        content@rpc_log:2:RpcLog content@invocation_request:4:InvocationRequest
        content@invocation_response:5:InvocationResponse
        content@function_load_request:8:FunctionLoadRequest content@function_load_response:9:FunctionLoadResponse
        content@worker_terminate:14:Empty content@worker_init_response:16:WorkerInitResponse
        content@worker_init_request:17:WorkerInitRequest content@start_stream:20:StartStream
        content@functions_metadata_request:29:FunctionsMetadataRequest
        content@function_metadata_response:30:FunctionMetadataResponse""",
    "Empty": "",
    "StartStream": "worker_id:2:string",
    "WorkerInitRequest": """host_version:1:string capabilities:2:{string worker_directory:4:string
        function_app_directory:5:string""",
    "WorkerInitResponse": """worker_version:1:string capabilities:2:{string result:3:StatusResult
        worker_metadata:4:WorkerMetadata""",
    "WorkerMetadata": """runtime_name:1:string runtime_version:2:string worker_version:3:string
        worker_bitness:4:string custom_properties:5:{string""",
    "StatusResult": "result:1:string exception:2:RpcException logs:3:*RpcLog status:4:StatusResult.Status",
    "FunctionsMetadataRequest": "function_app_directory:1:string",
    "FunctionMetadataResponse": """function_metadata_results:1:*RpcFunctionMetadata result:2:StatusResult
        use_default_metadata_indexing:3:bool""",
    "RpcFunctionMetadata": """directory:1:string script_file:2:string entry_point:3:string name:4:string
        bindings:6:{BindingInfo is_proxy:7:bool status:8:StatusResult language:9:string raw_bindings:10:*string
        function_id:13:string managed_dependency_enabled:14:bool retry_options:15:RpcRetryOptions
        properties:16:{string""",
    "BindingInfo": """type:2:string direction:3:BindingInfo.Direction data_type:4:BindingInfo.DataType
        properties:5:{string""",
    "RpcRetryOptions": "max_retry_count:2:int32 retry_strategy:6:RpcRetryOptions.RetryStrategy",
    "FunctionLoadRequest": "function_id:1:string metadata:2:RpcFunctionMetadata managed_dependency_enabled:3:bool",
    "FunctionLoadResponse": "function_id:1:string result:2:StatusResult is_dependency_downloaded:3:bool",
    "InvocationRequest": """invocation_id:1:string function_id:2:string input_data:3:*ParameterBinding
        trigger_metadata:4:{TypedData trace_context:5:RpcTraceContext retry_context:6:RetryContext""",
    "RetryContext": "retry_count:1:int32 max_retry_count:2:int32 exception:3:RpcException",
    "RpcTraceContext": "trace_parent:1:string trace_state:2:string attributes:3:{string",
    "ParameterBinding": "name:1:string rpc_data@data:2:TypedData",
    "InvocationResponse": """invocation_id:1:string output_data:2:*ParameterBinding result:3:StatusResult
        return_value:4:TypedData""",
    "TypedData": """data@string:1:string data@json:2:string data@bytes:3:bytes data@stream:4:bytes
        data@http:5:RpcHttp data@int:6:sint64 data@double:7:double""",
    "RpcHttp": """method:1:string url:2:string headers:3:{string body:4:TypedData params:10:{string
        status_code:12:string query:15:{string rawBody:17:TypedData""",
    "RpcLog": """invocation_id:1:string category:2:string level:3:RpcLog.Level message:4:string event_id:5:string
        exception:6:RpcException properties:7:string""",
    "RpcException": "stack_trace:1:string message:2:string source:3:string is_user_exception:4:bool type:5:string",
}


def build_protocol() -> SimpleNamespace:
    """The message classes by name; to be called once in a process, as protobuf keeps them in one pool."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="funchost/rpc.proto", package=_PACKAGE, syntax="proto3")
    messages = {name: file.message_type.add(name=name) for name in _MESSAGES}
    for full_name, values in _ENUMS.items():
        owner, name = full_name.split(".")
        enum = messages[owner].enum_type.add(name=name)
        for value in values.split():
            key, _, number = value.partition("=")
            enum.value.add(name=key, number=int(number))
    for name, fields in _MESSAGES.items():
        for field in fields.split():
            _add_field(messages[name], name, field)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return SimpleNamespace(
        **{
            name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
            for name in _MESSAGES
        }
    )


def _add_field(message: Any, owner: str, spec: str) -> None:
    group, _, rest = spec.rpartition("@")
    name, number, kind = rest.split(":")
    field = message.field.add(name=name, number=int(number), label=1)
    if group:
        groups = [one.name for one in message.oneof_decl]
        if group not in groups:
            message.oneof_decl.add(name=group)
        field.oneof_index = groups.index(group) if group in groups else len(groups)
    if kind.startswith("*"):
        field.label = 3
        _set_type(field, kind[1:])
    elif kind.startswith("{"):
        entry = "".join(part.title() for part in name.split("_")) + "Entry"
        pair = message.nested_type.add(name=entry)
        pair.options.map_entry = True
        _set_type(pair.field.add(name="key", number=1, label=1), "string")
        _set_type(pair.field.add(name="value", number=2, label=1), kind[1:])
        field.label, field.type, field.type_name = 3, field.TYPE_MESSAGE, f".{_PACKAGE}.{owner}.{entry}"
    else:
        _set_type(field, kind)


def _set_type(field: Any, kind: str) -> None:
    if kind in _ENUMS:
        field.type, field.type_name = field.TYPE_ENUM, f".{_PACKAGE}.{kind}"
    elif kind in _MESSAGES:
        field.type, field.type_name = field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    else:
        field.type = getattr(field, f"TYPE_{kind.upper()}")
