# Takes only what hookfast signed.  gem install standardwebhooks rack rackup puma; PORT=… rackup
require "standardwebhooks"

webhook = StandardWebhooks::Webhook.new(ENV.fetch("HOOKFAST_SECRET"))

run lambda { |env|
  # The bytes as they came: JSON that was parsed and written again has another signature.
  body = env["rack.input"].read
  names = %w[webhook-id webhook-timestamp webhook-signature]
  headers = names.to_h { |name| [name, env["HTTP_#{name.upcase.tr("-", "_")}"]] }
  begin
    event = webhook.verify(body, headers)
    puts "#{headers["webhook-id"]} #{event}"
    [204, {}, []]
  rescue StandardWebhooks::WebhookVerificationError => error
    puts "refused: #{error.message}"
    [401, {}, []]
  end
}
