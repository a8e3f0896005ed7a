"""What the plugin does, without Wasm: `properties` reads what was declared, `placeholders` fills in what differs from one
instance to the next, `user_data` renders cloud-init's document, `health` judges by state and age.
"""
