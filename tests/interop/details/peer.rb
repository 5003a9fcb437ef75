# Details of errors with Ruby's gRPC and its official messages:
#
#   peer.rb fields          the fields of every standard detail, one a line
#   peer.rb serve           a server whose every call fails with all details
#   peer.rb call ADDRESS    calls, and prints the details as JSON
require 'grpc'
require 'grpc/google_rpc_status_utils'
require 'google/rpc/status_pb'
require 'google/rpc/error_details_pb'

STANDARD = %w[ErrorInfo RetryInfo DebugInfo QuotaFailure BadRequest PreconditionFailure
              RequestInfo ResourceInfo Help LocalizedMessage].freeze
INNER = %w[QuotaFailure.Violation BadRequest.FieldViolation PreconditionFailure.Violation
           Help.Link].freeze

def type_of(name)
  Google::Protobuf::DescriptorPool.generated_pool.lookup("google.rpc.#{name}")
end

def print_fields
  (%w[Status] + STANDARD + INNER).each do |name|
    type_of(name).each { |f| puts "#{name} #{f.name} #{f.number} #{f.type} #{f.label}" }
  end
end

# A service of raw bytes.
class Raw
  include GRPC::GenericService
  self.service_name = 'test.Details'
  self.marshal_class_method = :encode
  self.unmarshal_class_method = :decode
  class Bytes < String
    def self.encode(text)
      text
    end

    def self.decode(text)
      text
    end
  end
  rpc :Fail, Bytes, Bytes
end

def any_of(name, value)
  message = type_of(name).msgclass.new(value)
  Google::Protobuf::Any.new(type_url: "type.googleapis.com/google.rpc.#{name}",
                            value: message.to_proto)
end

def all_details
  duration = Google::Protobuf::Duration.new(seconds: 2, nanos: 500_000_000)
  [any_of('ErrorInfo', reason: 'FULL', domain: 'caw.example', metadata: { 'zone' => 'a' }),
   any_of('RetryInfo', retry_delay: duration),
   any_of('DebugInfo', stack_entries: %w[inner outer], detail: 'd'),
   any_of('QuotaFailure', violations: [{ subject: 's', description: 'too much' }].map { |v| type_of('QuotaFailure.Violation').msgclass.new(v) }),
   any_of('BadRequest', field_violations: [type_of('BadRequest.FieldViolation').msgclass.new(field: 'name', description: 'empty')]),
   any_of('PreconditionFailure', violations: [type_of('PreconditionFailure.Violation').msgclass.new(type: 'TOS', subject: 's', description: 'accept')]),
   any_of('RequestInfo', request_id: '42', serving_data: 'x'),
   any_of('ResourceInfo', resource_type: 'user', resource_name: 'ann', owner: 'o', description: 'gone'),
   any_of('Help', links: [type_of('Help.Link').msgclass.new(description: 'manual', url: 'https://caw.example/')]),
   any_of('LocalizedMessage', locale: 'de', message: 'Zu viel ☃')]
end

class Failing < Raw
  def fail(_request, _call)
    status = Google::Rpc::Status.new(code: 9, message: 'all of them', details: all_details)
    raise GRPC::BadStatus.new(9, 'all of them',
                              { 'grpc-status-details-bin' => Google::Rpc::Status.encode(status) })
  end
end

def serve
  server = GRPC::RpcServer.new(pool_size: 2)
  port = server.add_http2_port('127.0.0.1:0', :this_port_is_insecure)
  server.handle(Failing)
  puts "listening on 127.0.0.1:#{port}"
  $stdout.flush
  server.run
end

def call(address)
  Raw.rpc_stub_class.new(address, :this_channel_is_insecure).fail(Raw::Bytes.new('x'))
rescue GRPC::BadStatus => e
  puts "#{e.class.name.split('::').last} #{e.details}"
  status = GRPC::GoogleRpcStatusUtils.extract_google_rpc_status(e.to_status)
  puts "#{status.code} #{status.message} #{status.details.size}"
  status.details.each do |any|
    name = any.type_url.delete_prefix('type.googleapis.com/google.rpc.')
    puts type_of(name).msgclass.decode(any.value).to_json
  end
end

case ARGV[0]
when 'fields' then print_fields
when 'serve' then serve
when 'call' then call(ARGV[1])
end
